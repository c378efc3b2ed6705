"""How a step tells how far it is: a value that main serves over HTTP and terminals draw."""

import time
from collections.abc import Callable

from selfalign_stages.contract import task


class ProgressMeter:
    """Counts work done; `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._resumed = 0.0
        self._value = task.Progress(done=0, total=0, unit="")

    def begin(self, total: float, *, unit: str, done: float = 0) -> None:
        """Starts a phase of `total` units, `done` of which an earlier attempt left behind."""
        self._start, self._resumed = self._clock(), done
        self._value = task.Progress(done=done, total=total, unit=unit)

    def advance(self, count: float = 1, **metrics: float | int | str) -> None:
        """Adds finished units and the latest metrics."""
        done = self._value.done + count
        elapsed = max(self._clock() - self._start, 1e-9)
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
