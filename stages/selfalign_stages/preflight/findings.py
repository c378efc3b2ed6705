"""Collects the problems and warnings of a preflight.

Raising the first problem would make a user submit a run once per mistake. Every check therefore runs, and its
StageError becomes a Problem of the manifest's field. A service that is down is different: it does not mean that the
manifest is wrong, so it is reported only if nothing else is, as a failure that is retried.
"""

from collections.abc import Callable
from typing import TypeVar

from selfalign_stages.contract.exits import StageError, Unavailable
from selfalign_stages.contract.task import Problem

Value = TypeVar("Value")


class Findings:
    """What a preflight has collected so far.

    Attributes:
        problems: they stop the run.
        warnings: messages that do not.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._unavailable: Unavailable | None = None

    def attempt(self, field: str, value: str, check: Callable[[], Value]) -> Value | None:
        """Runs one check and keeps its StageError.

        Args:
            field: path of the manifest's field that the check is about, such as "spec.baseModel.uri".
            value: the field's value, which is shown beside the problem.
            check: any exception of it but a StageError is a bug and passes through.

        Returns:
            The result of `check`, or None if it raised a StageError.
        """
        try:
            return check()
        except Unavailable as error:
            # One is enough: the retry runs all checks.
            self._unavailable = self._unavailable or error
        except StageError as error:
            self.problem(field, value, str(error))
        return None

    def problem(self, field: str, value: object, message: str) -> None:
        """Adds a problem.

        Args:
            field: path of the manifest's field, or "machine".
            value: the field's value; None leaves it out of the message.
            message: what is wrong and how to correct it.
        """
        self.problems.append(Problem(field=field, value=value, message=message))

    def raise_unavailable(self) -> None:
        """Raises the first Unavailable of all checks, unless there are problems: a retry would not solve those."""
        if self._unavailable is not None and not self.problems:
            raise self._unavailable
