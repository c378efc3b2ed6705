"""Which results are in the store that the run names now. Pure.

Keys do not contain the store: the same artifact may be in any number of them. A run whose spec.artifacts is edited
would take what it did before for done, and be Ready with an image that the new store does not have. So the status
records the store, and since which generation the run uses it. Results of before count if preflight finds them in the
new store, and not because a Job or the status shows that they were published to another one.
"""

from collections.abc import Sequence

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.api.status import RunStatus, StoreStatus
from selfalign_operator.planning.observation import Attempt


def store(run: SelfAlignRun) -> StoreStatus:
    """Returns the run's store and since when it is that, from the spec and the previous status."""
    address, before = _address(run), run.status.store
    if before is not None and before.address == address:
        return before
    # Without a record there is no earlier store, or its operator did not record it.
    return StoreStatus(address=address, since_generation=run.metadata.generation if before is not None else 0)


def results_of(run: SelfAlignRun) -> RunStatus:
    """Returns the previous status if its results are in the run's present store, else an empty one."""
    before = run.status.store
    return run.status if before is None or before.address == _address(run) else RunStatus()


def in_store(attempts: Sequence[Attempt], current: StoreStatus) -> tuple[Attempt, ...]:
    """Returns the attempts that published, or will publish, to the run's present store."""
    return tuple(attempt for attempt in attempts if not is_elsewhere(attempt, current))


def is_elsewhere(attempt: Attempt, current: StoreStatus) -> bool:
    """Whether an attempt was started for another store than the present one."""
    return attempt.generation is not None and attempt.generation < current.since_generation


def _address(run: SelfAlignRun) -> str:
    artifacts = run.spec.artifacts
    if artifacts is None:
        return ""
    return f"{artifacts.uri} at {artifacts.endpoint}" if artifacts.endpoint else artifacts.uri
