"""Exit codes of stage processes and the errors that carry them.

    StageError
    ├── BadInput      42  configuration or data is wrong: do not retry
    ├── AccessDenied  43  store, hub or registry refuses us: do not retry
    ├── DoesNotFit    44  memory, context or disk is too small: do not retry, says what would fit
    ├── Interrupted   75  SIGTERM: resumable, retried without being counted
    └── Unavailable   76  store, hub or registry is throttled or down: retried, counted

Any other exit code is a crash: retried, counted.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfalign_stages.contract.manifest import Counts


class ExitCode(IntEnum):
    """The process exit codes that podFailurePolicy and the local runner act on."""

    PUBLISHED = 0
    BAD_INPUT = 42
    ACCESS_DENIED = 43
    DOES_NOT_FIT = 44
    INTERRUPTED = 75
    UNAVAILABLE = 76

    @property
    def retryable(self) -> bool:
        """Whether a further attempt may succeed with nothing changed."""
        return self in (ExitCode.INTERRUPTED, ExitCode.UNAVAILABLE)


FINAL_CODES = (ExitCode.BAD_INPUT, ExitCode.ACCESS_DENIED, ExitCode.DOES_NOT_FIT)
"""A further attempt with nothing changed would end the same way."""


class StageError(Exception):
    """A failure with a stable CamelCase reason and a message that names object, field, value and remedy."""

    code = 1

    def __init__(self, message: str, *, reason: str | None = None, counts: "Counts | None" = None) -> None:
        super().__init__(message)
        self.reason = reason or type(self).__name__
        self.counts = counts


class BadInput(StageError):
    """Configuration or data is wrong."""

    code = ExitCode.BAD_INPUT


class AccessDenied(StageError):
    """Credentials are missing, wrong or too weak."""

    code = ExitCode.ACCESS_DENIED


class DoesNotFit(StageError):
    """Memory, context length or disk is too small."""

    code = ExitCode.DOES_NOT_FIT


class Interrupted(StageError):
    """The process was asked to stop; what is published stays and a rerun goes on from there."""

    code = ExitCode.INTERRUPTED


class Unavailable(StageError):
    """Another service is throttled or down."""

    code = ExitCode.UNAVAILABLE
