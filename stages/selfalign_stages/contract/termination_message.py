"""The last message of a stage process: result, preflight's answer or failure, in at most 4,096 bytes.

Kubernetes truncates a container's termination message at 4,096 bytes (core/v1, terminationMessagePath), which would
leave broken JSON behind. Encoding therefore compresses what is too long as plain text, and only then leaves details
out; how much was left out is part of the message, so that a reader never mistakes a part for the whole.
"""

import base64
import zlib
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

from selfalign_stages.contract.counts import most_frequent
from selfalign_stages.contract.graph import GATE_STEP, IMAGE_STEP, PUSH_STEP
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Result

LIMIT_BYTES = 4096
COMPRESSED = b"zlib:"
"""Prefix of a compressed message. JSON never begins with it."""
STEPS_WITH_METRICS = (GATE_STEP, IMAGE_STEP, PUSH_STEP)
"""Steps whose metrics appear in a run's status. Preflight leaves out all other metrics: they stay in the store."""
DECODED_BYTES = 256 * 1024
"""Longest text behind a compressed message. One message can stand for a gigabyte, and whoever runs a pod can write it;
the longest that stage processes write has MOST_PROBLEMS."""
MOST_PROBLEMS = 200
"""Problems of a preflight answer beyond which no attempt is made to fit more."""
PROBLEM_CHARACTERS = 600
"""Longest message of one problem, so that a single traceback cannot displace all other problems."""


def result_of(manifest: Manifest, *, cache: Literal["Hit", "Miss"]) -> Result:
    """Summarises a published artifact for the operator.

    Args:
        manifest: the artifact's manifest.
        cache: "Hit" if the artifact existed before this process started, "Miss" if this process published it.
    """
    return Result(
        key=manifest.key,
        cache=cache,
        digest=manifest.digest,
        counts=manifest.counts,
        metrics=manifest.metrics,
        seconds=manifest.seconds,
    )


def encode(message: Model) -> bytes:
    """Encodes a message of a stage process for a termination log.

    Args:
        message: a Result, Failure or PreflightResult.

    Returns:
        At most LIMIT_BYTES of UTF-8: JSON, or compressed JSON that `decode` restores. A Result that is too long even
        then loses its last metrics, then its rarest reject reasons; a Failure the end of its text, then its rarest
        reject reasons, never the key of a lost input; a PreflightResult its warnings, then its last problems, then
        the results of its first steps, never the digest of a leaf.
    """
    if isinstance(message, PreflightResult):
        return _encode_preflight(message)
    if isinstance(message, Failure):
        return _encode_failure(message)
    if isinstance(message, Result):
        return _encode_result(message)
    return to_json(message)


def decode(data: bytes) -> bytes:
    """Restores the JSON of a message.

    Raises:
        ValueError: the message claims to be compressed and is damaged, or is longer than DECODED_BYTES.
    """
    if not data.startswith(COMPRESSED):
        return data
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(base64.b85decode(data.removeprefix(COMPRESSED)), DECODED_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not stream.eof or stream.unused_data:
        raise ValueError(f"the message is cut, has something appended, or has more than {DECODED_BYTES} bytes")
    return text


def decode_preflight(data: bytes) -> PreflightResult | None:
    """Parses preflight's answer; None if the message is anything else."""
    try:
        return PreflightResult.model_validate_json(decode(data))
    except ValueError:
        return None


def to_json(message: Model) -> bytes:
    """The whole message as JSON, for readers without a size limit."""
    return message.model_dump_json(by_alias=True, exclude_none=True).encode()


def compress(text: bytes) -> bytes:
    """ASCII which `decode` turns back into `text`."""
    return COMPRESSED + base64.b85encode(zlib.compress(text, 9))


def _encode_preflight(answer: PreflightResult) -> bytes:
    hits = {
        id_: result if id_ in STEPS_WITH_METRICS else result.model_copy(update={"metrics": {}})
        for id_, result in answer.hits.items()
    }
    problems = tuple(
        problem.model_copy(update={"message": problem.message[:PROBLEM_CHARACTERS]}) for problem in answer.problems
    )
    small = answer.model_copy(update={"hits": hits, "problems": problems})
    for kept in range(min(len(problems), MOST_PROBLEMS), -1, -1):
        for warnings in (small.warnings, ()) if small.warnings else ((),):
            shortened = _shorten_preflight(small, problems=kept, warnings=warnings)
            text = shortened.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True).encode()
            if len(text) <= DECODED_BYTES and len(data := compress(text)) <= LIMIT_BYTES:
                return data
    if not hits:
        raise AssertionError("leaf digests alone do not fit a termination message")
    # A run with many files of one's own. What a finished run needs are the results of its last steps; a step of which
    # none is reported finds its artifact itself.
    return _encode_preflight(answer.model_copy(update={"hits": dict(list(hits.items())[1:])}))


def _shorten_preflight(answer: PreflightResult, *, problems: int, warnings: tuple[str, ...]) -> PreflightResult:
    left_out = len(answer.problems) - problems
    more = (Problem(field="spec", message=f"{left_out} more problems: see the log of the preflight pod"),)
    return answer.model_copy(
        update={"problems": answer.problems[:problems] + (more if left_out else ()), "warnings": warnings}
    )


def _encode_result(result: Result) -> bytes:
    whole = to_json(result)
    if LIMIT_BYTES < len(whole) <= DECODED_BYTES and len(small := compress(whole)) <= LIMIT_BYTES:
        return small
    data = _longest_fit(lambda keep: _shorten_metrics(result, keep), len(result.metrics))
    if len(data) <= LIMIT_BYTES:
        return data
    bare = _shorten_metrics(result, 0)
    return _longest_fit(lambda keep: _shorten_reasons(bare, keep), len(result.counts.rejected))


def _encode_failure(failure: Failure) -> bytes:
    data = _longest_fit(lambda keep: _shorten_failure(failure, keep), len(failure.message))
    counts = failure.counts
    if len(data) <= LIMIT_BYTES or counts is None:
        return data
    # Reasons that a step takes from its rows can be long or many.
    bare = _shorten_failure(failure, 0)

    def _with_reasons(keep: int) -> Failure:
        rejected = most_frequent(counts.rejected, keep)
        return bare.model_copy(update={"counts": counts.model_copy(update={"rejected": rejected})})

    return _longest_fit(_with_reasons, len(counts.rejected))


def _longest_fit(shorten: Callable[[int], Model], size: int) -> bytes:
    """JSON of `shorten(n)` for the largest n up to `size` that fits, of `shorten(0)` if none does."""
    whole = to_json(shorten(size))
    if len(whole) <= LIMIT_BYTES:
        return whole
    fitting = bisect_right(range(size), LIMIT_BYTES, key=lambda keep: len(to_json(shorten(keep))))
    return to_json(shorten(max(fitting - 1, 0)))


def _shorten_failure(failure: Failure, keep: int) -> Failure:
    if keep >= len(failure.message):
        return failure
    left_out = f" ... ({len(failure.message) - keep} characters left out: see the log)"
    return failure.model_copy(update={"message": failure.message[:keep] + left_out})


def _shorten_metrics(result: Result, keep: int) -> Result:
    kept = dict(list(result.metrics.items())[:keep])
    left_out = len(result.metrics) - len(kept)
    return result.model_copy(update={"metrics": kept | ({"metricsLeftOut": left_out} if left_out else {})})


def _shorten_reasons(result: Result, keep: int) -> Result:
    """Keeps the `keep` most frequent reject reasons and adds the others up."""
    rejected = most_frequent(result.counts.rejected, keep)
    return result.model_copy(update={"counts": result.counts.model_copy(update={"rejected": rejected})})
