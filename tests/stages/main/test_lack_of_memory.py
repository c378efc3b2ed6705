"""Which errors of a step are a lack of memory, of the machine or of a device."""

import pytest

from selfalign_stages.attempt import _as_stage_error
from selfalign_stages.contract.exits import ExitCode


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


def raised_from(cause: Exception) -> Exception:
    error = ValueError("the engine stopped")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        OSError(12, "Cannot allocate memory"),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("Worker failed with error 'CUDA out of memory', see above"),
        raised_from(OutOfMemoryError("HIP out of memory")),
    ],
    ids=["machine", "system-call", "device", "worker-process", "cause"],
)
def test_a_lack_of_memory_does_not_fit(error: Exception) -> None:
    assert _as_stage_error(error, None).code == ExitCode.DOES_NOT_FIT


def test_another_runtime_error_is_a_crash() -> None:
    assert _as_stage_error(RuntimeError("device-side assert triggered"), None).code == 1
