"""An edit moves what waits, and leaves alone what runs."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.operator.builders import SimulatedRun, leaf_digests, manifest, run

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import PreflightStatus, RunStatus, StepStatus
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import Plan, StartPreflight, StartStep, StopAttempt, plan
from selfalign_operator.planning.waiting import Rendering
from selfalign_stages.contract.task import PreflightResult

OURS = "system/selfalign"
WITH_SECRET = {"uri": "builtin://hamlet", "secretRef": {"name": "model"}}
"""An edit that has preflight repeated, and changes neither a key nor the store."""


@dataclass
class Cluster(SimulatedRun):
    """A simulated run whose processes are Jobs: `form` is what they would be rendered as now."""

    form: str = "first"
    operator: str = OURS
    created: list[tuple[str, int, str]] = field(default_factory=list)

    def plan(self) -> Plan:
        rendering = Rendering(form=lambda _: self.form, operator=self.operator)
        return plan(self.run, self.observed(), self.now, rendering=rendering)

    def reconcile(self) -> Plan:
        planned = super().reconcile()
        for action in planned.actions:
            if isinstance(action, StartPreflight | StartStep):
                id_ = PREFLIGHT if isinstance(action, StartPreflight) else action.step.id
                generation = self.run.metadata.generation
                self.change(id_, form=self.form, operator=self.operator, generation=generation, job=f"job-{id_}")
                self.created.append((id_, action.attempt, self.form))
        # The operator plans once more before it writes the status, so that it names the new Jobs.
        self.run = self.run.model_copy(update={"status": self.plan().status})
        return planned

    def edit(self, form: str, **spec: Any) -> None:
        edited = SelfAlignRun.model_validate(manifest(**spec)).spec
        metadata = self.run.metadata.model_copy(update={"generation": self.run.metadata.generation + 1})
        self.run = self.run.model_copy(update={"metadata": metadata, "spec": edited})
        self.form = form

    def let_go(self, id_: str) -> None:
        """The API server deletes the newest Job."""
        self.attempts[id_].pop()

    def stopped(self) -> list[str]:
        """Reconciles; ids of the processes that it stops."""
        return [action.id for action in self.reconcile().actions if isinstance(action, StopAttempt)]


@pytest.fixture
def waiting() -> Cluster:
    """Preflight has accepted, and the import waits."""
    simulated = Cluster(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    return simulated


def record(simulated: Cluster, id_: str) -> StepStatus | PreflightStatus:
    status = simulated.run.status
    found = status.preflight if id_ == PREFLIGHT else status.steps[id_]
    assert found is not None
    return found


def test_a_job_that_waits_is_replaced_once_and_keeps_its_number(waiting: Cluster) -> None:
    waiting.edit("second")
    assert waiting.stopped() == ["import"]
    assert waiting.stopped() == [] and waiting.created[-1] == ("import", 1, "first"), "the old Job still exists"
    waiting.let_go("import")
    waiting.reconcile()
    assert waiting.created[-1] == ("import", 1, "second")
    before = waiting.run.status
    assert waiting.reconcile().actions == () and waiting.run.status == before


def test_preflight_that_waits_is_replaced_as_well() -> None:
    simulated = Cluster(run())
    simulated.reconcile()
    simulated.edit("second")
    assert simulated.stopped() == [PREFLIGHT]
    simulated.let_go(PREFLIGHT)
    simulated.reconcile()
    assert simulated.created == [(PREFLIGHT, 1, "first"), (PREFLIGHT, 1, "second")]


def test_any_number_of_edits_makes_no_retry(waiting: Cluster) -> None:
    for form in ("second", "first", "second", "third"):
        waiting.edit(form)
        waiting.reconcile()
        waiting.let_go("import")
        waiting.reconcile()
    assert [number for id_, number, _ in waiting.created if id_ == "import"] == [1] * 5
    assert record(waiting, "import").attempt == 1


def test_an_operator_that_dies_before_it_writes_the_status_replaces_once_all_the_same(waiting: Cluster) -> None:
    waiting.edit("second")
    written = waiting.run.status
    waiting.reconcile()
    waiting.let_go("import")
    waiting.run = waiting.run.model_copy(update={"status": written})
    waiting.reconcile()
    assert waiting.created[-1] == ("import", 1, "second")


def test_a_job_that_ran_is_left_alone(waiting: Cluster) -> None:
    waiting.change("import", ran=True)
    waiting.edit("second")
    assert waiting.stopped() == []


def test_a_job_that_ran_is_left_alone_after_its_pod_is_gone(waiting: Cluster) -> None:
    waiting.change("import", ran=True)
    waiting.reconcile()
    assert record(waiting, "import").ran and record(waiting, "import").form is None
    status = waiting.run.status.to_dict()
    restarted = RunStatus.model_validate(status)
    waiting.run = waiting.run.model_copy(update={"status": restarted})
    waiting.change("import", ran=False)
    waiting.edit("second")
    assert waiting.stopped() == []
    assert record(waiting, "import").ran


def test_a_job_that_somebody_deleted_is_followed_by_another_attempt(waiting: Cluster) -> None:
    waiting.let_go("import")
    waiting.reconcile()
    waiting.advance(60)
    waiting.reconcile()
    assert waiting.created[-1] == ("import", 2, "first")


def test_the_number_of_an_attempt_that_failed_is_not_used_again(waiting: Cluster) -> None:
    waiting.change("import", ran=True)
    waiting.end("import", 1)
    waiting.reconcile()
    waiting.advance(60)
    waiting.reconcile()
    assert waiting.created[-1] == ("import", 2, "first")
    waiting.edit("second")
    waiting.reconcile()
    waiting.let_go("import")
    waiting.reconcile()
    assert waiting.created[-1] == ("import", 2, "second")


def test_an_upgrade_of_the_operator_replaces_what_waits_without_an_edit(waiting: Cluster) -> None:
    waiting.form = "newer image"
    assert waiting.stopped() == ["import"]


def test_two_operators_with_different_images_do_not_replace_each_others_jobs(waiting: Cluster) -> None:
    waiting.form, waiting.operator = "their image", "other/selfalign"
    assert waiting.stopped() == []
    waiting.edit("their image")
    assert waiting.stopped() == ["import"], "an edit has to take effect, whoever carries it out"
    waiting.let_go("import")
    waiting.reconcile()
    waiting.form, waiting.operator = "our image", OURS
    assert waiting.stopped() == []


def test_a_job_without_a_form_is_left_alone(waiting: Cluster) -> None:
    waiting.change("import", form=None)
    waiting.edit("second")
    assert waiting.stopped() == []


def test_steps_go_on_while_an_edit_has_preflight_repeated(waiting: Cluster) -> None:
    waiting.change("import", ran=True)
    waiting.reconcile()
    waiting.edit("first", baseModel=WITH_SECRET)
    assert waiting.stopped() == []
    assert waiting.running() == ["import", PREFLIGHT]
    assert record(waiting, "import").ran and waiting.run.status.steps["import"].state == "Running"
    waiting.end(PREFLIGHT)
    assert waiting.stopped() == [] and waiting.running() == ["import"]


def test_a_step_whose_key_changes_is_stopped_once_preflight_has_said_so(waiting: Cluster) -> None:
    waiting.change("import", ran=True)
    waiting.edit("first", baseModel=WITH_SECRET)
    assert waiting.stopped() == []
    waiting.end(PREFLIGHT, answer=PreflightResult(leaves=dict.fromkeys(leaf_digests(waiting.run), "sha256:other")))
    assert waiting.stopped() == ["import"]


def test_suspending_stops_what_runs_also_while_preflight_is_repeated(waiting: Cluster) -> None:
    waiting.change("import", ran=True)
    waiting.edit("first", baseModel=WITH_SECRET)
    waiting.reconcile()
    waiting.edit("first", baseModel=WITH_SECRET, suspend=True)
    assert sorted(waiting.stopped()) == ["import", PREFLIGHT]


def test_the_repeated_preflight_of_a_refused_run_is_replaced_too() -> None:
    simulated = Cluster(run())
    simulated.reconcile()
    simulated.end(PREFLIGHT, 43)
    simulated.reconcile()
    simulated.advance(600)
    simulated.reconcile()
    assert simulated.running() == [PREFLIGHT]
    simulated.form = "newer image"
    assert simulated.stopped() == [PREFLIGHT]


def test_an_unchanged_form_stops_nothing(waiting: Cluster) -> None:
    waiting.edit("first", ttlSecondsAfterFinished=60)
    assert waiting.stopped() == []
