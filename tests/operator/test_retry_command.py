"""`selfalign retry` for a run on this machine. tests/cluster/test_retry.py has the same for one on a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operator.builders import manifest
from tests.operator.sandbox import Sandbox, opened

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cli import retrying
from selfalign_operator.local import workdir as workdirs
from selfalign_operator.local.retry_file import read_nonces
from selfalign_operator.planning import graph, retry

STEPS = graph.steps(SelfAlignRun.model_validate(manifest()))


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with opened(tmp_path) as sandbox:
        yield sandbox


def asked(sandbox: Sandbox, step: str | None, *, set_values: tuple[str, ...] = ()) -> int:
    return retrying.retry_on_this_machine(
        sandbox.folder / "run.yaml", workdir=sandbox.folder / "work", set_values=set_values, step=step
    )


def starts(sandbox: Sandbox) -> list[str]:
    return [line.removeprefix("start ") for line in sandbox.journal() if line.startswith("start ")]


def test_a_finished_step_is_made_anew_once_with_all_that_are_made_from_it(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.run()
    before = len(starts(sandbox))
    assert asked(sandbox, "cloning-train") == 0
    readers = retry.with_readers(STEPS, "cloning-train")
    said = capsys.readouterr().out
    assert f"cloning-train and {len(readers) - 1} steps that are made from it will be made anew" in said
    assert f"selfalign run {sandbox.folder / 'run.yaml'} --workdir {sandbox.folder / 'work'}" in said
    code, status, _ = sandbox.run()
    assert code == 0 and status["phase"] == "Ready"
    assert set(starts(sandbox)[before:]) == readers and len(starts(sandbox)) == before + len(readers)
    code, status, _ = sandbox.run()
    assert code == 0 and {stage["cache"] for stage in status["stages"]} == {"Hit"}
    assert len(starts(sandbox)) == before + len(readers), "the nonces stay, so that the new artifacts are found again"


def test_what_was_made_anew_stays_when_another_step_is(sandbox: Sandbox) -> None:
    paths = workdirs.at(sandbox.folder / "work", "trial")
    assert asked(sandbox, "redteaming-topics") == 0
    (topics,) = read_nonces(paths).values()
    assert asked(sandbox, "evaluation-gate") == 0
    nonces = read_nonces(paths)
    assert nonces["redteaming-topics"] == topics and set(nonces) == {"redteaming-topics", "evaluation-gate"}
    assert asked(sandbox, "evaluation-gate") == 0
    assert read_nonces(paths)["evaluation-gate"] != nonces["evaluation-gate"]


def test_failed_steps_need_no_record(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(sandbox, None) == 0
    assert "all attempts again" in (said := capsys.readouterr().out) and "selfalign run" in said
    assert not (sandbox.folder / "work").exists()


def test_a_wrong_name_is_refused_with_the_names_of_the_steps(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(sandbox, "train") == 1
    said = capsys.readouterr().err
    assert "'train'" in said and all(step.id in said for step in STEPS)
    assert not (sandbox.folder / "work").exists()


def test_steps_are_those_of_the_manifest_with_its_overrides(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    off = ("spec.stages.cloning.enabled=false", "spec.image.variant=engraved")
    assert asked(sandbox, "cloning-train", set_values=off) == 1
    assert asked(sandbox, "cloning-train") == 0


def test_a_run_in_progress_is_not_disturbed(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    paths = workdirs.at(sandbox.folder / "work", "trial")
    with workdirs.locked(paths):
        assert asked(sandbox, "import") == 1
        assert asked(sandbox, None) == 0
    assert "is in use by process" in capsys.readouterr().err
    assert not paths.retry.exists()


def test_a_manifest_that_is_missing_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = retrying.retry_on_this_machine(tmp_path / "no.yaml", workdir=tmp_path / "w", set_values=(), step=None)
    assert code == 1 and "no.yaml" in capsys.readouterr().err
