"""A run on which the operator itself fails says so, and keeps all that its status records."""

from tests.operator.builders import NOW, simulated_after
from tests.operator.test_plan import condition_statuses

from selfalign_operator.api.status import RunStatus
from selfalign_operator.planning import internal_error


def raised(text: str) -> Exception:
    try:
        raise TypeError(text)
    except TypeError as error:
        return error


def test_the_condition_has_type_text_place_and_what_to_do() -> None:
    status = internal_error.status(3, RunStatus(), raised("no len()"), NOW)
    reconciling = status.condition("Reconciling")
    assert reconciling is not None and reconciling.status == "True" and reconciling.observed_generation == 3
    for part in ("TypeError: no len()", "test_internal_error.py, line", "report it", "tries again"):
        assert part in reconciling.message
    assert status.observed_generation == -1, "the generation was never planned"


def test_a_long_text_does_not_hide_what_to_do() -> None:
    assert "report it" in internal_error.message(raised("x" * 100_000))
    assert len(internal_error.message(raised("é" * 100_000)).encode()) < 3000


def test_what_is_recorded_stays_and_a_second_failure_changes_nothing() -> None:
    simulated = simulated_after("import")
    before = simulated.run.status
    status = internal_error.status(1, before, raised("odd"), NOW)
    assert status.stages == before.stages and condition_statuses(status)["Accepted"] == "True"
    assert internal_error.status(1, status, raised("odd"), simulated.now).to_dict() == status.to_dict()
    simulated.run = simulated.run.model_copy(update={"status": status})
    assert simulated.plan().status.condition("Reconciling") == before.condition("Reconciling")


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    simulated = simulated_after()
    simulated.to_the_end()
    ended = simulated.run.status
    assert ended.ready and internal_error.status(1, ended, raised("odd"), NOW) is ended
    edited = internal_error.status(2, ended, raised("odd"), NOW)
    assert condition_statuses(edited)["Ready"] == "False" and edited.observed_generation == 1
