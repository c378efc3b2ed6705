"""What a stage process says in the 4,096 bytes of a termination message: compressed where the plain text is longer."""

import base64
import zlib

from selfalign_stages.contract.task import RESULT_LIMIT_BYTES, PreflightResult, Problem

PACKED = b"zlib:"
NEEDED = ("evaluation-gate", "packaging-image", "packaging-push")
"""Steps whose metrics a status shows; the numbers of all others stay in the store."""
MESSAGE_LETTERS = 600


def compressed(text: bytes) -> bytes:
    """ASCII that `plain` reads back."""
    return PACKED + base64.b85encode(zlib.compress(text, 9))


def plain(data: bytes) -> bytes:
    """The JSON of a message, compressed or not; ValueError if it is damaged."""
    if not data.startswith(PACKED):
        return data
    try:
        return zlib.decompress(base64.b85decode(data.removeprefix(PACKED)))
    except zlib.error as error:
        raise ValueError(str(error)) from error


def packed(answer: PreflightResult) -> bytes:
    """At most RESULT_LIMIT_BYTES. What is left out is counted: warnings first, then the last problems."""
    found = {
        id_: result if id_ in NEEDED else result.model_copy(update={"metrics": {}})
        for id_, result in answer.found.items()
    }
    problems = tuple(_short(problem) for problem in answer.problems)
    small = answer.model_copy(update={"found": found, "problems": problems})
    for kept in range(len(problems), -1, -1):
        for warnings in (small.warnings, ()) if small.warnings else ((),):
            data = _packed(_cut(small, problems=kept, warnings=warnings))
            if len(data) <= RESULT_LIMIT_BYTES:
                return data
    raise AssertionError("leaf digests and results alone do not fit a termination message")


def read_answer(data: bytes) -> PreflightResult | None:
    """The answer in a message, packed or plain; None if it is none."""
    try:
        return PreflightResult.model_validate_json(plain(data))
    except ValueError:
        return None


def _packed(answer: PreflightResult) -> bytes:
    text = answer.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True).encode()
    return compressed(text)


def _short(problem: Problem) -> Problem:
    return problem.model_copy(update={"message": problem.message[:MESSAGE_LETTERS]})


def _cut(answer: PreflightResult, *, problems: int, warnings: tuple[str, ...]) -> PreflightResult:
    left_out = len(answer.problems) - problems
    more = (Problem(field="spec", message=f"{left_out} more problems stand in the preflight pod's log"),)
    return answer.model_copy(
        update={"problems": answer.problems[:problems] + (more if left_out else ()), "warnings": warnings}
    )
