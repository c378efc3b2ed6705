"""Exit codes of stage processes and the errors that carry them.

    Interrupted          75  SIGTERM or SIGINT: resumable, retried without counting as a failure
    StageError
    ├── BadInput      42  configuration or data is wrong: not retried
    ├── AccessDenied  43  a store, hub or registry refuses the credentials: not retried
    ├── DoesNotFit    44  memory, context length or disk is too small: not retried; the message names what would fit
    ├── Unavailable   76  a store, hub or registry throttles or is down: retried, counted
    └── InputLost     77  an input artifact is missing or damaged: made anew, then retried, counted

Any other exit code is a crash: retried, counted.

The exit code, and not the termination message, decides about a retry, because it is all that Kubernetes'
podFailurePolicy can match (batch/v1, onExitCodes) and because a killed process leaves no message. 75 is EX_TEMPFAIL of
sysexits.h. The codes avoid 1 and 2, with which Python and argparse exit, and 126 upwards, which shells use for signals.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfalign_stages.contract.counts import Counts


class ExitCode(IntEnum):
    """The process exit codes that podFailurePolicy and the local runner act on."""

    PUBLISHED = 0
    BAD_INPUT = 42
    ACCESS_DENIED = 43
    DOES_NOT_FIT = 44
    INTERRUPTED = 75
    UNAVAILABLE = 76
    INPUT_LOST = 77

    @property
    def retryable(self) -> bool:
        """Whether another attempt may succeed with nothing changed."""
        return self in (ExitCode.INTERRUPTED, ExitCode.UNAVAILABLE)


FINAL_CODES = (ExitCode.BAD_INPUT, ExitCode.ACCESS_DENIED, ExitCode.DOES_NOT_FIT)
"""Codes after which another attempt with nothing changed would fail in the same way."""


INTERRUPTED_CODES = (ExitCode.INTERRUPTED, 130, 143, -2, -15)
"""Codes of an interruption: the process's own, and those of SIGINT and SIGTERM at a moment without a handler, such as
the start of the interpreter: 128 + signal as container runtimes report it, negative as Python does."""


class Interrupted(BaseException):
    """The process received a request to stop. What it has published stays, and a rerun resumes from there.

    It is raised where the signal arrives, and is no failure of the code that it interrupts. Therefore it is no
    Exception, as KeyboardInterrupt is none: `except StageError` and `except Exception` let it pass.
    """

    code = ExitCode.INTERRUPTED
    reason = "Interrupted"


class StageError(Exception):
    """A failure that the operator can classify and a user can act on.

    Args:
        message: names object, field, value and remedy.
        reason: CamelCase and stable across releases, as Kubernetes condition reasons are. None: the class name.
        counts: rows read, kept and rejected so far, for failures whose cause lies in the rows.
    """

    # Python's own exit code for an uncaught exception: a crash.
    code = 1

    def __init__(self, message: str, *, reason: str | None = None, counts: "Counts | None" = None) -> None:
        super().__init__(message)
        self.reason = reason or type(self).__name__
        self.counts = counts


class BadInput(StageError):
    """Configuration or data is wrong."""

    code = ExitCode.BAD_INPUT


class AccessDenied(StageError):
    """Credentials are missing, wrong or lack a permission."""

    code = ExitCode.ACCESS_DENIED


class DoesNotFit(StageError):
    """Memory, context length or disk is too small."""

    code = ExitCode.DOES_NOT_FIT


class Unavailable(StageError):
    """Another service throttles or is down, after the client's own retries."""

    code = ExitCode.UNAVAILABLE


class InputLost(StageError):
    """An artifact that the step reads is missing in the store, or damaged and set aside.

    Another attempt at the same step alone would fail in the same way. The planner therefore takes the artifact for
    unfinished: the step that makes it runs again, and after it this one.

    Args:
        message: names the object, what is wrong with it and what was set aside.
        key: key of the lost artifact.
    """

    code = ExitCode.INPUT_LOST

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key
