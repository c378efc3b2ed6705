"""Whatever a manifest or an override contains, loading gives a run or problems, never an exception."""

import json
import re
from pathlib import Path

import pytest
from tests.mutations import mutations
from tests.scale import scaled

from selfalign_operator.api.quantity import parse_quantity
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.values import seconds
from selfalign_operator.manifest.loading import load
from selfalign_stages.contract import gates
from selfalign_stages.contract.printable import printable, printable_json
from selfalign_stages.contract.task import Problem

MANIFESTS = [path.read_text() for path in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))]
OVERRIDES = (
    "spec.seed=7",
    "spec.assistantName='Juniper'",
    "spec.stages.evaluation.suites[0].name=hhh",
    "spec.stages.engraving={method: lora, rank: 16, targets: [q_proj, v_proj], learningRate: 4e-4}",
    'spec.stages.evaluation.gates=["engraved.hhh.overall >= base.hhh.overall + 0.1"]',
    "spec.budget={deadline: 72h30m, gpuHours: 1.5}",
    "spec.stages.selfAlign.resources={limits: {nvidia.com/gpu: 1, memory: 40Gi, cpu: 500m}}",
    "spec.artifacts={uri: 's3://bucket/prefix', sse: aws:kms, sseKmsKeyId: key}",
    "metadata={name: trial, labels: {a: b}}",
)
FIELD = re.compile(r"(--set|apiVersion|kind|metadata|spec|status|)([^\n]*)")


def assert_loads(text: str, *set_values: str) -> None:
    """Fails unless the text gives a run, or problems that name a place and can be printed."""
    loaded = load(text, set_values=set_values)
    if isinstance(loaded, SelfAlignRun):
        return
    assert loaded
    for problem in loaded:
        assert isinstance(problem, Problem) and problem.message, problem
        assert printable(problem.line) == problem.line
        assert json.loads(printable_json(problem.to_dict())) == problem.to_dict()


@pytest.mark.parametrize("seed", range(4))
def test_any_manifest_is_a_run_or_problems(seed: int) -> None:
    for text in mutations(MANIFESTS, scaled(40, 12_500), seed=seed):
        assert_loads(text)


@pytest.mark.parametrize("seed", range(4))
def test_any_override_is_applied_or_a_problem(seed: int) -> None:
    for override in mutations(OVERRIDES, scaled(75, 25_000), seed=seed):
        assert_loads(MANIFESTS[seed % len(MANIFESTS)], override)


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (seconds, ["1h30m", "72h", "45s", "0h5m", "99999h999999m99999999s"]),
        (parse_quantity, ["500m", "40Gi", "1.5e3", "8", "9223372036854775807E"]),
        (gates.parse, ["engraved.hhh.overall >= base.hhh.overall + 0.1", "cloned.adherence.refusals < 1e-3"]),
    ],
)
def test_any_value_with_a_grammar_is_parsed_or_a_value_error(parse, texts: list[str]) -> None:  # type: ignore[no-untyped-def]
    parsed = 0
    for text in mutations(texts, scaled(300, 100_000), seed=7):
        try:
            parse(text)
            parsed += 1
        except ValueError as error:
            assert str(error)
    assert parsed
