"""Loading manifests: what is refused before any work, and with which messages."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import manifest

from selfalign_operator.api.quantity import parse_quantity
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.values import seconds
from selfalign_operator.manifest.loading import load
from selfalign_stages.contract.task import Problem

WRONG_VALUES: list[tuple[str, Any]] = [
    ("spec.stages.redTeaming.prompts", 0),
    ("spec.stages.redTeaming.prompts", "600"),
    ("spec.stages.redTeaming.prompts", 1.5),
    ("spec.stages.redTeaming.decontaminate", 1),
    ("spec.stages.redTeaming.topicGuidedShare", 1),
    ("spec.stages.selfAlign.temperature", -0.1),
    ("spec.stages.selfAlign.topP", 0),
    ("spec.stages.engraving.method", "qlora"),
    ("spec.stages.engraving.targets", []),
    ("spec.stages.cloning.training.warmupRatio", 1),
    ("spec.stages.evaluation.suites", []),
    ("spec.stages.evaluation.confidence", 1),
    ("spec.seed", -1),
    ("spec.assistantName", "### User"),
    ("spec.assistantName", ""),
    ("spec.assistantName", "a" * 41),
    ("spec.baseModel.uri", "http://somewhere"),
    ("spec.image.tag", "no spaces"),
    ("spec.budget.deadline", "72"),
    ("spec.budget.deadline", "0h"),
    ("spec.budget.deadline", "0h0m0s"),
    ("spec.budget.deadline", "1h\n"),
    ("spec.budget.deadline", "١h"),
    ("spec.budget.deadline", "9" * 40 + "h"),
    ("spec.stages.engraving.resources.limits.cpu", "1e999999999"),
    ("spec.stages.engraving.resources.limits.cpu", "1" * 40),
    ("spec.stages.engraving.resources.limits.cpu", -1),
    ("spec.assistantName", "Ju\u202eniper"),
    ("spec.assistantName", "Ju\u200bniper"),
    ("spec.assistantName", "\u00a0Juniper"),
    ("spec.assistantName", "Juniper\x9b"),
    ("spec.onSpecChange", "reconcile"),
    ("metadata.name", "Upper"),
    ("metadata.name", "a" * 53),
    ("metadata.name", "-a"),
]


def problems(*set_values: str, text: str | None = None, **spec: Any) -> dict[str, str]:
    """Messages by field of a manifest with problems."""
    loaded = load(text if text is not None else yaml.safe_dump(manifest(**spec)), set_values=set_values)
    assert not isinstance(loaded, SelfAlignRun)
    return {problem.field: problem.message for problem in loaded}


def valid(*set_values: str, text: str | None = None, **spec: Any) -> SelfAlignRun:
    """The run of a manifest without problems."""
    loaded = load(text if text is not None else yaml.safe_dump(manifest(**spec)), set_values=set_values)
    assert isinstance(loaded, SelfAlignRun), loaded
    return loaded


MINIMAL = """
apiVersion: selfalign.dev/v1alpha1
kind: SelfAlignRun
metadata: {name: trial}
spec:
  baseModel: {uri: builtin://hamlet}
"""


def test_a_minimal_manifest_is_enough() -> None:
    assert valid(text=MINIMAL).spec.assistant_name == "Dromedary"


def test_all_problems_are_reported_at_once() -> None:
    messages = problems(
        assistantName="a\nb",
        stages={
            "redTeaming": {"dedupRougeL": 1.3, "promts": 5},
            "engraving": {"rank": 0, "globalBatchSize": 10, "microBatchSize": 4},
        },
        budget={"deadline": "3 days"},
        image={"variant": "cloned", "formats": ["server"]},
    )
    assert set(messages) == {
        "spec.assistantName",
        "spec.stages.redTeaming.dedupRougeL",
        "spec.stages.redTeaming.promts",
        "spec.stages.engraving.rank",
        "spec.stages.engraving.globalBatchSize",
        "spec.budget.deadline",
        "spec.image.formats",
    }
    assert "did you mean prompts?" in messages["spec.stages.redTeaming.promts"]
    assert "10m or 72h" in messages["spec.budget.deadline"]
    assert "write 8" in messages["spec.stages.engraving.globalBatchSize"]


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES)
def test_a_wrong_value_is_reported_with_field_and_value(field: str, value: Any) -> None:
    loaded = load(yaml.safe_dump(manifest()), set_values=[f"{field}={json.dumps(value)}"])
    assert not isinstance(loaded, SelfAlignRun)
    assert [problem.field for problem in loaded] == [field]
    assert loaded[0].value == value and loaded[0].message


def test_unknown_fields_are_reported_with_a_suggestion() -> None:
    assert "did you mean baseModel?" in problems(base_model={"uri": "x"})["spec.base_model"]
    assert "did you mean redTeaming?" in problems(stages={"redteaming": {}})["spec.stages.redteaming"]
    assert "known fields: perStage, preemptions" in problems(retries={"zzz": 1})["spec.retries.zzz"]
    suite = {"name": "a", "formt": "hhh", "uri": "pack://a"}
    messages = problems(stages={"evaluation": {"suites": [suite]}})
    assert "did you mean format?" in messages["spec.stages.evaluation.suites[0].formt"]


def test_missing_fields_are_reported_and_the_rest_is_still_checked() -> None:
    document = {
        "apiVersion": "selfalign.dev/v1alpha1",
        "spec": {"stages": {"engraving": {"method": "full", "rank": 8}}},
    }
    messages = problems(text=yaml.safe_dump(document))
    assert set(messages) == {"kind", "metadata", "spec.baseModel", "spec.stages.engraving.rank"}


def test_a_conflict_with_an_invalid_field_is_not_reported() -> None:
    messages = problems(stages={"engraving": {"globalBatchSize": 10, "microBatchSize": "four"}})
    assert set(messages) == {"spec.stages.engraving.microBatchSize"}


@pytest.mark.parametrize(
    ("spec", "field", "word"),
    [
        ({"stages": {"engraving": {"gpusPerNode": 64, "preset": "paper"}}}, "globalBatchSize", "1024"),
        ({"stages": {"cloning": {"training": {"method": "full", "alpha": 8}}}}, "training.alpha", "method"),
        ({"image": {"variant": "cloned"}, "stages": {"cloning": {"enabled": False}}}, "image.variant", "disabled"),
        ({"image": {"promoteTo": "candidate"}}, "promoteTo", "own"),
        ({"image": {"repository": "reg.example/ns/x:tag"}}, "repository", "spec.image.tag"),
        ({"artifacts": {"uri": "s3://b/p", "sseKmsKeyId": "k"}}, "sseKmsKeyId", "aws:kms"),
        ({"artifacts": {"uri": "file://a", "region": "x"}}, "region", "s3://"),
        ({"principles": {"builtin": "a", "uri": "file://b"}}, "spec.principles", "exactly one"),
        ({"principles": {}}, "spec.principles", "exactly one"),
        ({"stages": {"evaluation": {"gates": ["base.mmlu.overall > 0.5"]}}}, "gates[0]", "mmlu"),
        ({"stages": {"evaluation": {"gates": ["base.hhh.mc1 > 0.5"]}}}, "gates[0]", "mc1"),
        ({"stages": {"evaluation": {"gates": ["base.hhh.overall"]}}}, "gates[0]", "exactly one"),
        (
            {"stages": {"cloning": {"enabled": False}, "evaluation": {"gates": ["cloned.hhh.overall > 0.5"]}}},
            "gates[0]",
            "cloned",
        ),
        ({"baseModel": {"uri": "hf://a/b", "revision": "main"}}, "spec.baseModel.revision", "commit"),
        ({"baseModel": {"uri": "hf://a/b"}}, "spec.baseModel.revision", "commit"),
        ({"baseModel": {"uri": "builtin://a", "revision": "a" * 40}}, "spec.baseModel.revision", "hf://"),
        (
            {"stages": {"evaluation": {"suites": [{"name": "a", "format": "hhh", "uri": "pack://a"}] * 2}}},
            "suites[1].name",
            "two suites",
        ),
    ],
)
def test_impossible_combinations_are_reported_with_a_remedy(spec: dict[str, Any], field: str, word: str) -> None:
    messages = problems(**spec)
    ((path, message),) = messages.items()
    assert path.endswith(field) and word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL + "  seed: 1\n  seed: 2\n", ("duplicate key", "line 8")),
        (MINIMAL + "---\nkind: Other\n", ("one document", "there are 2")),
        ("", ("one document", "there are 0")),
        ("- a\n", ("mapping",)),
        ("a: [", ("line",)),
        ("a: !!python/object:os.system {}", ("tag", "remove it")),
        ("a: &x [*x]", ("itself",)),
        ("1: a", ("quotes",)),
        ("[" * 100_000, ("line 1, column 101", "levels")),
        ("a: \x1b[2J", ("line 1, column 4", "U+001B")),
        (r'a: "\ud800"', ("half of a surrogate pair",)),
    ],
)
def test_yaml_is_parsed_strictly(text: str, words: tuple[str, ...]) -> None:
    messages = " ".join(problems(text=text).values())
    assert all(word in messages for word in words), messages


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_values_that_json_cannot_hold_are_refused_with_their_path(value: str) -> None:
    messages = problems(text=MINIMAL + f"  stages: {{selfAlign: {{temperature: {value}}}}}\n")
    assert list(messages) == ["spec.stages.selfAlign.temperature"]


def test_aliases_that_multiply_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases multiply" in problems(text="\n".join(lines))[""]


def test_numbers_are_parsed_as_an_api_server_parses_them() -> None:
    run = valid(text=MINIMAL + "  stages: {engraving: {learningRate: 1e-3}}\n")
    assert run.spec.stages.engraving.learning_rate == 0.001
    assert valid(text=MINIMAL + "  assistantName: 2024-01-02\n").spec.assistant_name == "2024-01-02"


def test_anchors_and_aliases_are_accepted() -> None:
    run = valid(text=MINIMAL + "  stages:\n    engraving: &t {rank: 4}\n    cloning: {training: *t}\n")
    assert run.spec.stages.cloning.training.rank == 4


def test_set_changes_one_field_of_two_that_share_an_anchor() -> None:
    text = MINIMAL + "  stages:\n    engraving: &t {rank: 4}\n    cloning: {training: *t}\n"
    run = valid("spec.stages.engraving.rank=8", text=text)
    assert (run.spec.stages.engraving.rank, run.spec.stages.cloning.training.rank) == (8, 4)


def test_set_accepts_yaml_values_and_list_indices() -> None:
    suite = {"name": "a", "format": "hhh", "uri": "pack://a"}
    run = valid(
        "spec.seed=7",
        "spec.stages.selfAlign.deterministic=true",
        "spec.stages.evaluation.suites[0].name=b",
        "spec.stages.engraving.targets=[q_proj]",
        stages={"evaluation": {"suites": [suite]}},
    )
    assert run.spec.seed == 7 and run.spec.stages.self_align.deterministic
    assert [suite.name for suite in run.spec.stages.evaluation.suites or ()][0] == "b"
    assert run.spec.stages.engraving.targets == ("q_proj",)


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("nonsense", "--set"),
        ("spec.sed=7", "spec.sed"),
        ("metadata.name.x=7", "metadata.name.x"),
        ("spec.stages.evaluation.gates[3]=a", "spec.stages.evaluation.gates[3]"),
        ("spec.seed=[", "spec.seed"),
        ("spec.seed=.nan", "spec.seed"),
        ("spec.seed=\udcff", "spec.seed"),
        ("spec" + ".a" * 1000 + "=1", "--set"),
        ("spec[" + "9" * 5000 + "]=1", "--set"),
        ("spec.podDefaults.template" + ".a" * 20 + "=" + "[" * 90 + "]" * 90, ""),
    ],
)
def test_an_override_of_an_impossible_path_is_a_problem(override: str, field: str) -> None:
    assert list(problems(override, stages={"evaluation": {"gates": []}})) == [field]


def test_two_overrides_of_values_that_share_an_anchor_are_independent() -> None:
    training = "spec.stages.engraving={rank: &r 4, alpha: *r}"
    run = valid(training, "spec.stages.engraving.rank=8", text=MINIMAL)
    assert (run.spec.stages.engraving.rank, run.spec.stages.engraving.alpha) == (8, 4)
    placed = valid("spec.podDefaults.template={a: &x {b: 1}, c: *x}", "spec.podDefaults.template.a.b=2", text=MINIMAL)
    assert placed.spec.pod_defaults.template == {"a": {"b": 2}, "c": {"b": 1}}


def test_merge_keys_are_read_as_kubectl_reads_them() -> None:
    text = MINIMAL + "  stages:\n    engraving: &t {rank: 4}\n    cloning: {training: {<<: *t, alpha: 8}}\n"
    training = valid(text=text).spec.stages.cloning.training
    assert (training.rank, training.alpha) == (4, 8)
    assert "keep one of them" in problems(text=text.replace("alpha", "rank"))[""]


def test_a_document_of_thousands_of_mistakes_is_not_reported_in_full() -> None:
    loaded = load(MINIMAL + "".join(f"  field{number}: 1\n" for number in range(1000)))
    assert not isinstance(loaded, SelfAlignRun)
    assert len(loaded) == 101 and loaded[-1].message.startswith("900 more problems")


def test_durations_and_quantities_have_the_units_of_kubernetes() -> None:
    assert [seconds(text) for text in ("10m", "72h", "1h30m", "45s")] == [600, 259_200, 5400, 45]
    assert [int(parse_quantity(text)) for text in ("4Gi", "4G", "7", 7)] == [2**32, 4_000_000_000, 7, 7]
    assert parse_quantity("500m") * 2 == 1


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_run_or_problems_never_an_exception(text: str) -> None:
    loaded = load(text)
    if not isinstance(loaded, SelfAlignRun):
        assert loaded and all(isinstance(problem, Problem) and problem.message for problem in loaded)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PATHS = ("metadata", "spec", "spec.stages", "spec.stages.engraving", "spec.image", "spec.stages.evaluation.suites")


@settings(deadline=None)
@given(st.sampled_from(PATHS), json_values)
def test_any_value_at_any_path_is_accepted_or_reported(path: str, value: Any) -> None:
    loaded = load(yaml.safe_dump(manifest()), set_values=[f"{path}={json.dumps(value)}"])
    if not isinstance(loaded, SelfAlignRun):
        assert loaded and all(problem.message for problem in loaded)
