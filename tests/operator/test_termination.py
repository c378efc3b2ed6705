"""Termination messages are untrusted: whatever a container leaves behind is a message or none, never an exception."""

import base64
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.operator.builders import result
from tests.operator.test_job_status import COMPLETE, FAILED, observed_job, pod, read
from tests.scale import scaled

from selfalign_operator.jobs.termination import read_failure, read_preflight, read_result
from selfalign_stages.contract.task import Failure, PreflightResult, Problem
from selfalign_stages.contract.termination_message import DECODED_BYTES, encode

BRACKETS = "[" * 50_000
READERS: tuple[Callable[[str], Any], ...] = (read_failure, read_result, read_preflight)


def compressed(text: bytes) -> str:
    return "zlib:" + base64.b85encode(zlib.compress(text, 9)).decode()


SEEDS = (
    encode(Failure(reason="InputLost", message="part is missing", lost="k" * 64)).decode(),
    encode(result("evaluation-gate", "k" * 64)).decode(),
    encode(
        PreflightResult(
            leaves={"baseModel": "sha256:x"},
            hits={"import": result("import", "k" * 64)},
            problems=(Problem(field="spec", value={"deep": [1, None]}, message="wrong"),),
        )
    ).decode(),
    compressed(b'{"reason": "X", "message": "y"}'),
)
PIECES = ("zlib:", *'{}[]",:é', "null", "-1", "1e999", "9" * 5000, "NaN", "\\ud800", "\ud800")


def mutated(source: random.Random) -> str:
    """A message with some characters replaced, removed, repeated or inserted."""
    text = source.choice(SEEDS)
    for _ in range(source.randint(1, 6)):
        start = source.randrange(len(text) + 1)
        end = min(len(text), start + source.choice((0, 1, 1, 4, 60)))
        piece = source.choice((*PIECES, chr(source.randrange(0x110000)), text[start:end] * 2))
        text = text[:start] + piece + text[end:]
    return text


def test_any_message_is_read_or_ignored() -> None:
    source = random.Random(random.getrandbits(32))
    for _ in range(scaled(300, 100_000)):
        message = mutated(source)
        for reader in READERS:
            value = reader(message)
            # what is read can be written to the API server
            assert value is None or json.dumps(value.to_dict(), allow_nan=False).encode()
        read(observed_job(condition=FAILED), pod(code=source.choice((1, 42, 77)), message=message))
        read(observed_job(condition=COMPLETE), pod(code=0, message=message))


@pytest.mark.parametrize(
    "message",
    [
        BRACKETS,
        '{"a":' * 20_000,
        compressed(BRACKETS.encode()),
        compressed(bytes(100 * DECODED_BYTES)),
        compressed(b" " * DECODED_BYTES + b'{"reason": "X", "message": "y"}'),
        "zlib:" + "~" * 4000,
        "zlib:\x00",
        "zlib:é",
        '{"reason": "X", "message": "\ud800"}',
        '{"reason": "", "message": "y"}',
        '{"reason": "has blanks", "message": "y"}',
        json.dumps({"reason": "X" * 129, "message": "y"}),
        '{"reason": "X", "message": "y", "counts": {"rows": 9223372036854775808}}',
    ],
    ids=lambda message: message[:20].encode(errors="replace").decode(),
)
def test_a_message_that_no_condition_could_hold_counts_as_the_end_of_a_log(message: str) -> None:
    assert [reader(message) for reader in READERS] == [None, None, None]
    attempt = read(observed_job(condition=FAILED), pod(code=1, message=message))
    assert attempt.failure.reason == "Crash" and len(attempt.failure.message) < 600


@pytest.mark.parametrize("value", ["1e999", "-1e999", "9" * 400, "NaN"])
def test_a_number_that_the_api_server_refuses_makes_no_result(value: str) -> None:
    text = result("evaluation-gate", "k").model_dump_json(by_alias=True)
    assert read_result(text) is not None
    assert read_result(text.replace("0.5", value)) is None
    answer = '{"problems": [{"field": "spec", "message": "m", "value": [{"x": VALUE}]}]}'
    assert read_preflight(answer.replace("VALUE", "1")) is not None
    other = read_preflight(answer.replace("VALUE", value))
    assert other is None or other.to_dict()["problems"][0]["value"] == [{"x": None}]
