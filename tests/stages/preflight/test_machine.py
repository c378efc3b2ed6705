"""What a machine lacks is reported before the work starts, and only for the steps that remain."""

import shutil
from pathlib import Path

import pytest
from tests.operator import builders

from selfalign_operator.planning import graph
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.engine.vllm_engine import is_cpu_build
from selfalign_stages.preflight import machine
from selfalign_stages.preflight.findings import Findings

STEPS = graph.steps(builders.run())


def check(folder: Path, *, model_bytes: int) -> Findings:
    findings = Findings()
    machine.check(StoreLocation(uri=folder.as_uri()), STEPS, model_bytes=model_bytes, findings=findings)
    return findings


def messages(findings: Findings, field: str) -> list[str]:
    return [problem.message for problem in findings.problems if problem.field == field]


def test_a_small_model_needs_nothing_that_this_machine_lacks(tmp_path: Path) -> None:
    assert check(tmp_path, model_bytes=10 << 20).problems == []


def test_a_model_larger_than_the_disk_is_reported_with_both_sizes(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    (message,) = messages(check(tmp_path, model_bytes=free // 2), "spec.artifacts.uri")
    assert "are free: free some, or put the store elsewhere" in message


def test_a_model_larger_than_memory_is_refused_where_the_engine_runs_on_the_cpu(tmp_path: Path) -> None:
    if not is_cpu_build():
        pytest.skip("the CPU engine is not installed")
    assert "of memory: use a smaller model" in messages(check(tmp_path, model_bytes=1 << 50), "spec.baseModel.uri")[0]


def test_disk_is_needed_for_the_remaining_steps_alone() -> None:
    assert machine.disk_bytes(STEPS, model_bytes=10) == 60
    assert machine.disk_bytes([step for step in STEPS if step.kind == "image"], model_bytes=10) == 30
    assert machine.disk_bytes([step for step in STEPS if step.kind == "score"], model_bytes=10) == 0


def test_the_memory_table_is_read_in_bytes() -> None:
    text = "MemTotal:       2048 kB\nHugePages_Total:       0\nMemAvailable:    1 kB\n"
    assert machine.memory_table(text) == {"MemTotal": 2 << 20, "MemAvailable": 1 << 10}
