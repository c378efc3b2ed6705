"""A status stays below 16 KiB whatever it reports, and counts what it leaves out."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import NOW, SimulatedRun, run, simulated_after

from selfalign_operator.api.status import PastGeneration, RunStatus
from selfalign_operator.planning import truncation
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import plan
from selfalign_stages.contract.counts import OTHER_REASONS
from selfalign_stages.contract.gates import METRICS
from selfalign_stages.contract.task import Failure, PreflightResult, Problem

LIMIT = 16 * 1024
LONG = "Größe " * 700
REPOSITORY = "registry.example.com/" + "team/" * 30 + "ida"
VARIANTS = ("base", "prompted", "engraved", "cloned")


def size(status: RunStatus) -> int:
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def message(status: RunStatus, type_: Any) -> str:
    condition = status.condition(type_)
    assert condition is not None
    return condition.message


def past(generation: int) -> PastGeneration:
    digest = "sha256:" + "d" * 64
    return PastGeneration(generation=generation, image=f"{REPOSITORY}@{digest}", digest=digest, completion_time=NOW)


def test_when_a_run_is_ready_with_many_workers_metrics_and_generations() -> None:
    values = [f"{v}.{s}{n}.{m}{e}" for n in range(3) for v in VARIANTS for s, ms in METRICS.items() for m in ms
              for e in ("", ".low", ".high")]  # fmt: skip
    digest = "sha256:" + "e" * 64
    metrics: dict[str, dict[str, Any]] = {"evaluation-gate": {name: 0.123456789012 for name in values}}
    metrics["packaging-push"] = {"image": f"{REPOSITORY}@{digest}", "digest": digest, "size": 16 << 30}
    stages = {"selfAlign": {"workers": 1000}, "redTeaming": {"workers": 1000}}
    simulated = SimulatedRun(run(image={"repository": REPOSITORY}, stages=stages), metrics=metrics)
    history = tuple(past(number) for number in range(5))
    simulated.run = simulated.run.model_copy(update={"status": RunStatus(history=history)})
    status = simulated.to_the_end().status
    assert status.ready and len(status.history) == 5 and status.evaluation is not None
    assert status.evaluation.metrics["cloned.hhh0.overall"] == 0.1235
    assert size(status) < LIMIT


def test_when_a_run_has_as_many_files_of_rows_as_it_may() -> None:
    files = [{"uri": f"s3://{'rows-' * 9}/{n}.jsonl", "share": 0.1} for n in range(8)]
    four = [file | {"share": 0.2} for file in files[:4]]
    stages = {
        "redTeaming": {"promptSources": files},
        "engraving": {"extraRows": four},
        "cloning": {"training": {"extraRows": four}},
    }
    metrics: dict[str, dict[str, Any]] = {
        step: {"lastLoss": 0.1234, "lastValidationLoss": 0.1234} for step in ("engraving-train", "cloning-train")
    }
    status = SimulatedRun(run(image={"repository": REPOSITORY}, stages=stages), metrics=metrics).to_the_end().status
    assert status.ready
    assert status.preflight is not None and len(status.preflight.leaves) > 16
    assert size(status) < LIMIT


def test_when_preflight_has_many_problems() -> None:
    simulated = SimulatedRun(run())
    simulated.reconcile()
    problems = tuple(Problem(field=f"spec.field{n}", value=n, message="lorem ipsum " * 30) for n in range(90))
    simulated.end(PREFLIGHT, answer=PreflightResult(problems=problems, warnings=(LONG,) * 9))
    status = simulated.reconcile().status
    assert size(status) < LIMIT
    assert status.problems[0] == problems[0]
    assert status.problems[-1].message.startswith(f"{90 - len(status.problems) + 1} more problems")
    assert "spec.field0 = 0: lorem ipsum" in message(status, "Accepted")


@pytest.mark.parametrize("code", [1, 42])
def test_when_a_step_fails_with_a_long_message(code: int) -> None:
    simulated = simulated_after(retries={"perStage": 0})
    simulated.end("import", code)
    simulated.change("import", failure=Failure(reason="Crash", message=LONG))
    status = simulated.reconcile().status
    assert size(status) < LIMIT
    assert len(message(status, "Stalled").encode()) > 10 * len(message(status, "Ready").encode())


def test_when_every_step_is_pending_with_a_long_message() -> None:
    simulated = simulated_after()
    simulated.change("import", pending=Failure(reason="Unschedulable", message=LONG))
    attempts = {step: simulated.observed().attempts["import"] for step in simulated.run.status.steps}
    status = plan(simulated.run, replace(simulated.observed(), attempts=attempts), NOW).status
    assert size(status) < LIMIT


@settings(deadline=None)
@given(st.text(), st.integers(min_value=8, max_value=64))
def test_a_cut_text_fits_in_bytes_and_is_marked(text: str, limit: int) -> None:
    cut = truncation.text(text, limit)
    assert len(cut.encode()) <= limit
    assert cut == text or cut.endswith("...")


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=9) | st.just(OTHER_REASONS), st.integers(min_value=1, max_value=9), max_size=30)
)
def test_reject_reasons_keep_their_sum(counts: dict[str, int]) -> None:
    kept = truncation.rejected(counts)
    assert sum(kept.values()) == sum(counts.values()) and len(kept) <= truncation.REASONS
