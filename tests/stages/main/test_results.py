"""The last word of a step fits into a Kubernetes termination message and says what was left out."""

import json
from pathlib import Path

import pytest

from selfalign_stages import results
from selfalign_stages.contract.manifest import Counts
from selfalign_stages.contract.task import RESULT_LIMIT_BYTES, Failure, Result


def result(*, metrics: int = 0, reasons: int = 0) -> Result:
    rejected = {f"reason-{number:04d}": number + 1 for number in range(reasons)}
    counts = Counts(rows=sum(rejected.values()), kept=0, rejected=rejected)
    values: dict[str, float | int | str | bool] = {f"suite.metric-{number:04d}": 0.5 for number in range(metrics)}
    return Result(key="k" * 64, cache="Miss", digest="sha256:" + "d" * 64, counts=counts, metrics=values)


@pytest.mark.parametrize("metrics", [0, 1, 50, 134, 135, 1000])
@pytest.mark.parametrize("reasons", [0, 7, 500])
def test_a_result_fits_and_still_reads_as_one(metrics: int, reasons: int) -> None:
    whole = result(metrics=metrics, reasons=reasons)
    data = results.encode(whole)
    assert len(data) <= RESULT_LIMIT_BYTES
    read = Result.model_validate_json(data)
    left_out = read.metrics.get("metricsLeftOut", 0)
    assert isinstance(left_out, int)
    assert len(read.metrics) - ("metricsLeftOut" in read.metrics) + left_out == metrics
    assert sum(read.counts.rejected.values()) == read.counts.rows == whole.counts.rows


def test_a_result_that_fits_is_whole() -> None:
    assert Result.model_validate_json(results.encode(result(metrics=50))) == result(metrics=50)


def test_as_many_metrics_are_kept_as_fit() -> None:
    data = results.encode(result(metrics=1000))
    assert RESULT_LIMIT_BYTES - len(data) < len('"suite.metric-0000":0.5,')


@pytest.mark.parametrize("letter", ["x", "é", "\n", "\U0001f9ed"])
def test_a_long_failure_is_cut_by_bytes_and_says_so(letter: str) -> None:
    data = results.encode(Failure(reason="Crash", message=letter * 50_000))
    assert RESULT_LIMIT_BYTES - 16 < len(data) <= RESULT_LIMIT_BYTES
    assert "characters left out: see the log" in json.loads(data)["message"]


def test_a_short_failure_is_whole() -> None:
    failure = Failure(reason="Crash", message="é" * 100)
    assert Failure.model_validate_json(results.encode(failure)) == failure


def test_a_preflight_result_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    results.write(path, result(metrics=1000), limited=False)
    assert len(json.loads(path.read_bytes())["metrics"]) == 1000


def test_a_result_replaces_an_older_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("x" * 10_000)
    results.write(path, result())
    assert Result.model_validate_json(path.read_bytes()) == result()
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]
