"""Collects what preflight finds, so that everything wrong is told at once."""

from collections.abc import Callable
from typing import TypeVar

from selfalign_stages.contract.exits import StageError, Unavailable
from selfalign_stages.contract.task import Problem

Value = TypeVar("Value")


class Findings:
    """Problems and warnings so far, and the first service that was down."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._unavailable: Unavailable | None = None

    def attempt(self, field: str, value: str, look: Callable[[], Value]) -> Value | None:
        """What `look` returns, or None with its StageError kept for the end; other exceptions are crashes."""
        try:
            return look()
        except Unavailable as error:
            self._unavailable = self._unavailable or error
        except StageError as error:
            self.problem(field, value, str(error))
        return None

    def problem(self, field: str, value: object, message: str) -> None:
        """Adds a problem of a field of the manifest."""
        self.problems.append(Problem(field=field, value=value, message=message))

    def raise_unavailable(self) -> None:
        """Raises what may pass by itself, unless something is wrong that will not: then that is told now."""
        if self._unavailable is not None and not self.problems:
            raise self._unavailable
