"""The message of a stage process fits a Kubernetes termination log and records how much was left out."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Result
from selfalign_stages.contract.termination_message import (
    COMPRESSED,
    DECODED_BYTES,
    LIMIT_BYTES,
    compress,
    decode,
    decode_preflight,
    encode,
    to_json,
)


def result(*, metrics: int = 0, reasons: int = 0) -> Result:
    rejected = {f"reason-{number:04d}": number + 1 for number in range(reasons)}
    counts = Counts(rows=sum(rejected.values()), kept=0, rejected=rejected)
    random = Random(1)
    values: dict[str, float | int | str | bool] = {f"suite.metric-{n:04d}": random.random() for n in range(metrics)}
    return Result(key="k" * 64, cache="Miss", digest="sha256:" + "d" * 64, counts=counts, metrics=values)


@pytest.mark.parametrize("metrics", [0, 1, 50, 134, 135, 1000])
@pytest.mark.parametrize("reasons", [0, 7, 500])
def test_a_result_fits_and_still_reads_as_one(metrics: int, reasons: int) -> None:
    whole = result(metrics=metrics, reasons=reasons)
    data = encode(whole)
    assert len(data) <= LIMIT_BYTES
    read = Result.model_validate_json(decode(data))
    left_out = read.metrics.get("metricsLeftOut", 0)
    assert isinstance(left_out, int)
    assert len(read.metrics) - ("metricsLeftOut" in read.metrics) + left_out == metrics
    assert sum(read.counts.rejected.values()) == read.counts.rows == whole.counts.rows


def test_a_result_that_fits_is_whole() -> None:
    assert Result.model_validate_json(encode(result(metrics=50))) == result(metrics=50)


def test_as_many_metrics_are_kept_as_fit() -> None:
    data = encode(result(metrics=1000))
    assert LIMIT_BYTES - len(data) < len('"suite.metric-0000":0.12345678901234567,') + 2


def test_a_result_is_compressed_before_anything_is_left_out() -> None:
    whole = result(metrics=140)
    assert len(whole.model_dump_json()) > LIMIT_BYTES
    assert Result.model_validate_json(decode(encode(whole))) == whole


@pytest.mark.parametrize("letter", ["x", "é", "\n", "\U0001f9ed"])
def test_a_long_failure_is_cut_by_bytes_and_says_so(letter: str) -> None:
    data = encode(Failure(reason="Crash", message=letter * 50_000))
    assert LIMIT_BYTES - 16 < len(data) <= LIMIT_BYTES
    assert "characters left out: see the log" in json.loads(data)["message"]


def test_a_short_failure_is_whole() -> None:
    failure = Failure(reason="Crash", message="é" * 100)
    assert Failure.model_validate_json(encode(failure)) == failure


def answer(*, problems: int, letters: int = 80) -> PreflightResult:
    random = Random(2)
    return PreflightResult(
        leaves={
            name: f"sha256:{random.randbytes(32).hex()}"
            for name in ("baseModel", *(f"pack:{n}" for n in range(6)), *(f"suite:{n}" for n in range(3)))
        },
        hits={f"step-{n}": result(metrics=9).model_copy(update={"key": random.randbytes(32).hex()}) for n in range(18)},
        problems=tuple(
            Problem(field=f"spec.field{n}", message=random.randbytes(letters // 2).hex()) for n in range(problems)
        ),
    )


def test_an_answer_for_every_step_of_a_run_fits_a_termination_message() -> None:
    data = encode(answer(problems=0))
    read = decode_preflight(data)
    assert len(data) <= LIMIT_BYTES and read is not None
    assert {id_: hit.key for id_, hit in read.hits.items()} == {
        id_: hit.key for id_, hit in answer(problems=0).hits.items()
    }


def test_beside_many_leaves_the_results_of_the_last_steps_are_reported() -> None:
    random = Random(3)
    files = {f"extraRows:cloning:{n}": f"sha256:{random.randbytes(32).hex()}" for n in range(40)}
    whole = answer(problems=0)
    hits = {
        id_: hit.model_copy(update={"digest": f"sha256:{random.randbytes(32).hex()}"})
        for id_, hit in whole.hits.items()
    }
    whole = whole.model_copy(update={"leaves": whole.leaves | files, "hits": hits})
    data = encode(whole)
    read = decode_preflight(data)
    assert len(data) <= LIMIT_BYTES and read is not None
    assert read.leaves == whole.leaves
    assert 0 < len(read.hits) < len(whole.hits)
    assert list(read.hits) == list(whole.hits)[-len(read.hits) :]


def test_problems_that_do_not_fit_are_counted() -> None:
    data = encode(answer(problems=90))
    read = decode_preflight(data)
    assert len(data) <= LIMIT_BYTES and read is not None
    assert 0 < len(read.problems) < 90
    assert read.problems[-1].message.startswith(f"{90 - len(read.problems) + 1} more problems")


def test_a_great_many_equal_problems_read_as_the_first_ones_and_their_number() -> None:
    problems = tuple(Problem(field="spec", message="x" * 600) for _ in range(3000))
    data = encode(PreflightResult(problems=problems))
    read = decode_preflight(data)
    assert len(data) <= LIMIT_BYTES and read is not None
    left_out = 3000 - (len(read.problems) - 1)
    assert left_out > 0 and read.problems[-1].message.startswith(f"{left_out} more problems")


def test_a_result_of_a_great_many_equal_metrics_reads_as_one() -> None:
    metrics: dict[str, float | int | str | bool] = {f"m{number}": 0.0 for number in range(60_000)}
    whole = Result(key="k", cache="Miss", digest="d", metrics=metrics)
    assert Result.model_validate_json(decode(encode(whole))).metrics["metricsLeftOut"]


@pytest.mark.parametrize("reasons", [0, 500])
def test_a_failure_with_many_reject_reasons_fits_and_keeps_the_key_of_a_lost_input(reasons: int) -> None:
    counts = result(reasons=reasons).counts
    data = encode(Failure(reason="InputLost", message="x" * 9000, counts=counts, lost="k" * 64))
    read = Failure.model_validate_json(decode(data))
    assert len(data) <= LIMIT_BYTES and read.lost == "k" * 64
    assert read.counts is not None and sum(read.counts.rejected.values()) == counts.rows


def whole_and_compressed() -> bytes:
    return compress(to_json(answer(problems=0)))


@pytest.mark.parametrize(
    "data",
    [
        compress(bytes(1 << 24)),
        compress(b" " * (DECODED_BYTES + 1)),
        whole_and_compressed()[:-5],
        whole_and_compressed() + b"0000000000",
        COMPRESSED,
        COMPRESSED + b"~~~~~",
        COMPRESSED + b"\xff\x00",
        COMPRESSED + b"a b",
    ],
    ids=["bomb", "one byte too many", "cut", "appended", "empty", "overflow", "no base 85", "blank"],
)
def test_a_damaged_or_oversized_message_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)
    assert decode_preflight(data) is None


def test_the_longest_text_that_may_be_behind_a_message_is_restored() -> None:
    assert decode(compress(b" " * DECODED_BYTES)) == b" " * DECODED_BYTES


@given(st.binary(max_size=200))
def test_any_message_reads_as_an_answer_or_as_none(data: bytes) -> None:
    assert decode_preflight(COMPRESSED + data) is None
