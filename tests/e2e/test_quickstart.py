"""The quickstart as a user runs it: every stage, a second run of hits, an edit, and kills at random moments."""

import json
from typing import Any

import pytest
from tests import s3_server
from tests.e2e.conftest import SAMPLE_KILLS, Workdir, steps
from tests.scale import FULL
from tests.stages.artifacts import damages

pytestmark = pytest.mark.slow

GENERATION = (
    "redteaming-topics",
    "redteaming-questions",
    "redteaming-instructions",
    "redteaming-prompts",
    "selfalign-answers",
    "cloning-answers",
)


def test_a_run_ends_ready_with_an_image_and_every_variant_scored(
    finished: tuple[Workdir, dict[str, Any]], bucket: s3_server.Server
) -> None:
    _, status = finished
    ready = next(condition for condition in status["conditions"] if condition["type"] == "Ready")
    assert ready["status"] == "True"
    assert status["image"]["digest"].startswith("sha256:")
    metrics = status["evaluation"]["metrics"]
    for variant in ("base", "prompted", "engraved", "cloned"):
        assert 0 <= metrics[f"{variant}.adherence.overall"] <= 1
    layouts = (bucket.root / "runs" / "team-a" / "cas" / "image").glob("*/oci/index.json")
    digests = {json.loads(path.read_text())["manifests"][0]["digest"] for path in layouts}
    assert status["image"]["digest"] in digests


def test_the_stages_do_what_the_method_promises(finished: tuple[Workdir, dict[str, Any]]) -> None:
    metrics = finished[1]["evaluation"]["metrics"]
    assert metrics["base.adherence.overall"] < 0.3 < 0.6 < metrics["prompted.adherence.overall"]
    assert metrics["engraved.adherence.overall"] > metrics["base.adherence.overall"] + 0.3
    assert metrics["cloned.adherence.words"] > 1.2 * metrics["engraved.adherence.words"]
    assert metrics["engraved.adherence.stops"] > 0.9


def test_rejected_rows_are_counted_by_reason(finished: tuple[Workdir, dict[str, Any]]) -> None:
    for name, step in steps(finished[1]).items():
        if name in GENERATION:
            assert step["rows"] == step["kept"] + sum(step.get("rejected", {}).values()), name


def test_a_second_run_is_all_hits(finished: tuple[Workdir, dict[str, Any]]) -> None:
    workdir, before = finished
    again = workdir.run()
    assert {step["cache"] for step in steps(again).values()} == {"Hit"}
    assert again["image"] == before["image"]


def test_an_edit_reruns_only_what_depends_on_it(finished: tuple[Workdir, dict[str, Any]]) -> None:
    workdir, _ = finished
    edited = workdir.run(**{"spec.image.tag": "other"})
    missed = {name for name, step in steps(edited).items() if step["cache"] == "Miss"}
    assert missed == {"packaging-image"}


def test_a_flipped_bit_in_trained_weights_is_noticed_where_they_are_read_and_mended_in_the_same_run(
    finished: tuple[Workdir, dict[str, Any]], bucket: s3_server.Server
) -> None:
    workdir, before = finished
    root = bucket.root / "runs" / "team-a"
    merged = steps(before)["cloning-merge"]
    (weights,) = (root / "cas" / "merge" / merged["key"]).glob("*.safetensors")
    good = weights.read_bytes()
    weights.write_bytes(damages.flipped(good, len(good) * 4))
    # Another tag packs the model anew, which reads it.
    mended = steps(workdir.run(**{"spec.image.tag": "mended"}))
    assert {name for name, step in mended.items() if step["cache"] == "Miss"} == {"cloning-merge", "packaging-image"}
    assert mended["cloning-merge"]["digest"] == merged["digest"]
    assert weights.read_bytes() == good
    assert damages.flipped(good, len(good) * 4) in [path.read_bytes() for path in damages.set_aside(root)]


if FULL:

    def test_killed_at_many_random_moments_the_artifacts_on_disk_are_those_of_an_undisturbed_run_in_s3(
        finished: tuple[Workdir, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        disturbed = Workdir(tmp_path_factory.mktemp("disturbed")).killed(10)
        status = disturbed.run()
        assert disturbed.kills >= 3
        expected, actual = steps(finished[1]), steps(status)
        for name in (*GENERATION, "engraving-train", "cloning-train"):
            assert actual[name]["digest"] == expected[name]["digest"], name
            assert actual[name]["rows"] == expected[name]["rows"], name

else:

    def test_a_run_that_was_killed_at_random_moments_goes_on_and_repeats_no_finished_step(
        finished: tuple[Workdir, dict[str, Any]],
    ) -> None:
        """That its artifacts are those of the run on the real node is asserted there (cluster/test_disturbances.py)."""
        workdir, status = finished
        assert workdir.kills == SAMPLE_KILLS
        assert steps(status)["import"]["cache"] == "Hit", "finished long before the last kill"
