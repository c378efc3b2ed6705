"""Which suites a run is scored on: those listed, or those that its built-in pack ships."""

import pytest
from tests.operator.builders import run

from selfalign_operator.api.evaluation import BUILTIN_SUITES
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import cross_field
from selfalign_operator.planning import graph
from selfalign_stages import builtin
from selfalign_stages.contract.parameters import AnswersParameters, ScoreParameters
from selfalign_stages.pack.loading import load
from selfalign_stages.preflight.pack_and_suites import READERS

LISTED = {"evaluation": {"suites": [{"name": "mine", "format": "adherence", "uri": "pack://mine"}]}}


def test_the_table_of_built_in_packs_has_every_suite_of_every_pack_in_its_format() -> None:
    shipped = {}
    for folder in sorted(builtin.folder("packs", "starter").parent.iterdir()):
        if folder.is_dir() and (folder / "pack.yaml").exists():
            pack = load(f"builtin://{folder.name}")
            shipped[folder.name] = {name.split(".")[1] for name in pack.suites}
            for suite in BUILTIN_SUITES[folder.name]:
                texts = {n: text for n, text in pack.suites.items() if n.split(".")[1] == suite.uri[len("pack://") :]}
                READERS[suite.format](texts, pack.header.language)
    assert {name: {suite.name for suite in listed} for name, listed in BUILTIN_SUITES.items()} == shipped


@pytest.mark.parametrize(
    ("principles", "stages", "names"),
    [
        ({"builtin": "hamlet"}, {}, ["hhh", "truthfulqa", "adherence"]),
        ({"builtin": "starter"}, {}, ["limits"]),
        ({"builtin": "starter"}, LISTED, ["mine"]),
        ({"uri": "file:///pack"}, LISTED, ["mine"]),
    ],
)
def test_a_run_has_the_suites_of_its_pack_unless_it_lists_others(
    principles: dict[str, str], stages: dict[str, object], names: list[str]
) -> None:
    made = run(principles=principles, stages=stages)
    assert [suite.name for suite in graph.suites(made)] == names
    scored = [step.parameters for step in graph.steps(made) if step.kind == "score"]
    assert all([suite.name for suite in parameters.suites] == names for parameters in scored)  # type: ignore[union-attr]
    assert problems(made) == {}


def test_a_pack_of_one_s_own_needs_the_list_and_the_message_s_example_is_accepted() -> None:
    made = run(principles={"uri": "file:///pack"})
    message = problems(made)["spec.stages.evaluation.suites"]
    assert "{name: limits, format: limits, uri: pack://limits}" in message
    suite = {"name": "limits", "format": "limits", "uri": "pack://limits"}
    assert problems(run(principles={"uri": "file:///pack"}, stages={"evaluation": {"suites": [suite]}})) == {}


def test_a_built_in_pack_that_does_not_exist_is_refused_with_those_that_do() -> None:
    made = run(principles={"builtin": "hamlett"})
    assert problems(made) == {
        "spec.principles.builtin": "is no pack that ships with SelfAlign: there are dromedary-16, hamlet, starter"
    }


def test_gates_may_name_the_metrics_of_format_limits() -> None:
    gates = ["engraved.limits.limitsKept >= 0.4", "engraved.limits.overRefusal <= 0.2", "engraved.limits.kindness > 0"]
    made = run(principles={"builtin": "starter"}, stages={"evaluation": {"gates": gates}})
    assert set(problems(made)) == {"spec.stages.evaluation.gates[2]"}


def problems(made: SelfAlignRun) -> dict[str, str]:
    return {problem.field: problem.message for problem in cross_field.problems(made, invalid=set())}


def test_the_settings_of_self_alignment_reach_its_step_and_the_thought_reaches_the_prompted_variant_alone() -> None:
    made = run(stages={"selfAlign": {"thought": "constrained", "samples": 3, "limitShare": 0.3}})
    steps = {step.id: step.parameters for step in graph.steps(made)}
    answers = steps["selfalign-answers"]
    assert isinstance(answers, AnswersParameters)
    assert (answers.thought, answers.samples, answers.limit_share) == ("constrained", 3, 0.3)
    thoughts = {
        id_.rpartition("-")[2]: parameters.thought
        for id_, parameters in steps.items()
        if isinstance(parameters, ScoreParameters)
    }
    assert thoughts == {"base": None, "prompted": "constrained", "engraved": None, "cloned": None}
