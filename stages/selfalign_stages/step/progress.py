"""Measures how far a step is. `progress_server` serves the value; the operator and terminals show it."""

import time
from collections.abc import Callable

from selfalign_stages.contract import task


class ProgressMeter:
    """Counts finished units and estimates the time left.

    One thread writes, others may read `value` at any time: every update replaces the whole immutable value, so that
    readers get a consistent one without a lock.

    Args:
        clock: monotonic seconds; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._resumed = 0.0
        self._value = task.Progress(done=0, total=0, unit="")

    def begin(self, total: float, *, unit: str, done: float = 0) -> None:
        """Starts a phase and forgets the previous one.

        Args:
            total: units of the phase.
            unit: what is counted, in the plural, such as "answers".
            done: units that an earlier attempt finished. They count as done but not towards the rate, which would
                otherwise be far too high after a resume.
        """
        self._start, self._resumed = self._clock(), done
        self._value = task.Progress(done=done, total=total, unit=unit)

    def advance(self, count: float = 1, **metrics: float | int | str) -> None:
        """Adds finished units.

        Args:
            count: units finished since the last call.
            **metrics: latest values by name, such as `loss`; names of earlier calls keep their last value.
        """
        done = self._value.done + count
        elapsed = max(self._clock() - self._start, 1e-9)  # two calls may read the same clock value
        rate = (done - self._resumed) / elapsed
        left = max(self._value.total - done, 0)
        self._value = self._value.model_copy(
            update={
                "done": done,
                "rate": rate,
                "eta": left / rate if rate > 0 else None,
                "metrics": {**self._value.metrics, **metrics},
            }
        )

    @property
    def value(self) -> task.Progress:
        """The present state."""
        return self._value
