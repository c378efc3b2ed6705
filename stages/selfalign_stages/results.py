"""Writes a stage process's last word, cut to what a Kubernetes termination message holds."""

import os
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from selfalign_stages.contract.model import Model
from selfalign_stages.contract.packing import compressed, packed
from selfalign_stages.contract.task import RESULT_LIMIT_BYTES, Failure, PreflightResult, Result

TERMINATION_LOG = Path("/dev/termination-log")


def default_path() -> Path | None:
    """The termination log, where there is one."""
    return TERMINATION_LOG if TERMINATION_LOG.exists() else None


def write(path: Path | None, message: Model) -> None:
    """Writes atomically where a rename is possible, in place into a termination log."""
    if path is None:
        return
    if path == TERMINATION_LOG:
        path.write_bytes(packed(message) if isinstance(message, PreflightResult) else encode(message))
        return
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(_json(message) if isinstance(message, PreflightResult) else encode(message))
    os.replace(temporary, path)


def encode(message: Model) -> bytes:
    """At most RESULT_LIMIT_BYTES of JSON, compressed if need be (contract.packing).

    What does not fit even so is left out, and how much that is stands in its place.
    """
    if isinstance(message, Failure):
        return _longest_fit(lambda keep: _cut_message(message, keep), len(message.message))
    if not isinstance(message, Result):
        return _json(message)
    small = compressed(_json(message))
    if len(small) <= RESULT_LIMIT_BYTES < len(_json(message)):
        return small
    reasons, metrics = len(message.counts.rejected), len(message.metrics)
    data = _longest_fit(lambda keep: _cut_metrics(message, keep), metrics)
    if len(data) <= RESULT_LIMIT_BYTES:
        return data
    bare = _cut_metrics(message, 0)
    return _longest_fit(lambda keep: _cut_reasons(bare, keep), reasons)


def _longest_fit(cut: Callable[[int], Model], size: int) -> bytes:
    """The JSON of `cut(n)` for the largest n up to `size` that fits; of `cut(0)` if none does."""
    whole = _json(cut(size))
    if len(whole) <= RESULT_LIMIT_BYTES:
        return whole
    fits = bisect_right(range(size), RESULT_LIMIT_BYTES, key=lambda keep: len(_json(cut(keep))))
    return _json(cut(max(fits - 1, 0)))


def _cut_message(failure: Failure, keep: int) -> Failure:
    if keep >= len(failure.message):
        return failure
    left_out = f" ... ({len(failure.message) - keep} characters left out: see the log)"
    return failure.model_copy(update={"message": failure.message[:keep] + left_out})


def _cut_metrics(result: Result, keep: int) -> Result:
    kept = dict(list(result.metrics.items())[:keep])
    left_out = len(result.metrics) - len(kept)
    return result.model_copy(update={"metrics": kept | ({"metricsLeftOut": left_out} if left_out else {})})


def _cut_reasons(result: Result, keep: int) -> Result:
    """The most frequent reasons, and the rows of all others together."""
    ranked = sorted(result.counts.rejected.items(), key=lambda item: -item[1])
    others = sum(number for _, number in ranked[keep:])
    counts = result.counts.model_copy(
        update={"rejected": dict(ranked[:keep]) | ({"other-reasons": others} if others else {})}
    )
    return result.model_copy(update={"counts": counts})


def _json(message: Model) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_none=True).encode()
