"""Writes a stage process's last word, cut to what a Kubernetes termination message holds."""

import os
from pathlib import Path

from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import RESULT_LIMIT_BYTES, Result

TERMINATION_LOG = Path("/dev/termination-log")


def default_path() -> Path | None:
    """The termination log, where there is one."""
    return TERMINATION_LOG if TERMINATION_LOG.exists() else None


def write(path: Path | None, message: Model, *, limited: bool = True) -> None:
    """Writes atomically where a rename is possible, in place into a termination log."""
    if path is None:
        return
    data = encode(message) if limited else message.model_dump_json(by_alias=True, exclude_none=True).encode()
    if path == TERMINATION_LOG:
        path.write_bytes(data)
        return
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def encode(message: Model) -> bytes:
    """JSON of at most RESULT_LIMIT_BYTES; metrics that do not fit are left out from the end and counted in one."""
    data = message.model_dump_json(by_alias=True, exclude_none=True).encode()
    if len(data) <= RESULT_LIMIT_BYTES or not isinstance(message, Result):
        return data
    names = list(message.metrics)
    for keep in range(len(names) - 1, -1, -1):
        metrics = {name: message.metrics[name] for name in names[:keep]} | {"metricsLeftOut": len(names) - keep}
        data = (
            message.model_copy(update={"metrics": metrics}).model_dump_json(by_alias=True, exclude_none=True).encode()
        )
        if len(data) <= RESULT_LIMIT_BYTES:
            break
    return data
