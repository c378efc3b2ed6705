"""A run whose store is edited takes as done what the new store has, and nothing else."""

from tests.operator.builders import SimulatedRun, result, run
from tests.operator.test_failed_attempts import named
from tests.operator.test_usage import next_generation

from selfalign_operator.planning import graph
from selfalign_operator.planning.observation import PREFLIGHT
from selfalign_operator.planning.plan import StopAttempt
from selfalign_stages.contract.graph import keys


def finished(*, keep_jobs: bool) -> SimulatedRun:
    simulated = SimulatedRun(run(artifacts={"uri": "s3://runs/a"}))
    while not simulated.run.status.ready:
        simulated.reconcile()
        named(simulated)
        for id_ in simulated.running():
            simulated.end(id_)
    if not keep_jobs:
        simulated.attempts = {}
    return simulated


def move(simulated: SimulatedRun, *, uri: str = "s3://runs/b") -> None:
    simulated.run = next_generation(simulated.run)
    artifacts = simulated.run.spec.artifacts
    assert artifacts is not None
    spec = simulated.run.spec.model_copy(update={"artifacts": artifacts.model_copy(update={"uri": uri})})
    simulated.run = simulated.run.model_copy(update={"spec": spec})


def go_on(simulated: SimulatedRun) -> list[str]:
    """Reconciles to the end; returns what was started."""
    simulated.started = []
    for _ in range(200):
        simulated.reconcile()
        named(simulated)
        if simulated.run.status.ready and not simulated.running():
            break
        for id_ in simulated.running():
            if simulated.attempts[id_][-1].stopping:
                simulated.attempts[id_].pop()
            else:
                simulated.end(id_)
    assert simulated.run.status.ready
    return simulated.started


def test_results_in_the_old_store_do_not_count_whether_jobs_or_the_status_show_them() -> None:
    for keep_jobs in (True, False):
        simulated = finished(keep_jobs=keep_jobs)
        everything = [PREFLIGHT, *(step.id for step in graph.steps(simulated.run))]
        move(simulated)
        assert sorted(go_on(simulated)) == sorted(everything)
        assert simulated.run.status.store is not None and simulated.run.status.store.since_generation == 2


def test_what_was_copied_to_the_new_store_is_not_made_again() -> None:
    simulated = finished(keep_jobs=True)
    steps = graph.steps(simulated.run)
    preflight = simulated.run.status.preflight
    assert preflight is not None
    by_step = keys(steps, leaves=preflight.leaves, seed=simulated.run.spec.seed)
    simulated.hits = {step.id: result(step.id, by_step[step.id], cache="Hit") for step in steps}
    move(simulated)
    assert go_on(simulated) == [PREFLIGHT]


def test_a_step_that_publishes_to_the_old_store_is_stopped() -> None:
    simulated = SimulatedRun(run(artifacts={"uri": "s3://runs/a"}))
    simulated.reconcile()
    simulated.end(PREFLIGHT)
    simulated.reconcile()
    named(simulated)
    move(simulated)
    stops = {action.id for action in simulated.plan().actions if isinstance(action, StopAttempt)}
    assert stops == {"import"}
    assert "import" in go_on(simulated)


def test_an_edit_of_another_field_keeps_all_results() -> None:
    simulated = finished(keep_jobs=False)
    simulated.run = next_generation(simulated.run)
    assert go_on(simulated) == []
