"""What a machine lacks is reported before the work starts, and only for the steps that remain."""

import shutil
from pathlib import Path

import pytest
from tests import small_disk
from tests.operator import builders

from selfalign_operator.planning import graph
from selfalign_stages.contract.parameters import EngineParameters
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.engine.vllm_arguments import is_cpu_build
from selfalign_stages.preflight import machine
from selfalign_stages.preflight.findings import Findings

STEPS = graph.steps(builders.run())
ENGINE = EngineParameters()


def check(folder: Path, *, model_bytes: int, scratch: Path | None = None) -> Findings:
    findings = Findings()
    store = StoreLocation(uri=folder.as_uri())
    machine.check(store, STEPS, model_bytes=model_bytes, engine=ENGINE, findings=findings, scratch=scratch)
    return findings


def messages(findings: Findings, field: str) -> list[str]:
    return [problem.message for problem in findings.problems if problem.field == field]


def test_a_small_model_needs_nothing_that_this_machine_lacks(tmp_path: Path) -> None:
    assert check(tmp_path, model_bytes=10 << 20).problems == []


def test_a_model_larger_than_the_disk_is_reported_with_both_sizes(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    (message,) = messages(check(tmp_path, model_bytes=free // 2), "spec.artifacts.uri")
    assert "are free: free some, or put the store elsewhere" in message


def test_store_and_scratch_on_two_disks_are_looked_at_each_by_itself(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path / "large", mib=64) as large, small_disk.mounted(tmp_path / "small") as small:
        size = 8 << 20  # 4 copies in the store, 2 in scratch
        here = check(large / "store", scratch=large / "scratch", model_bytes=size)
        assert here.problems == []
        (problem,) = check(large / "store", scratch=small / "scratch", model_bytes=size).problems
        assert (problem.field, problem.value) == ("machine", str(small / "scratch"))
        assert problem.message.startswith(f"needs about 16.0 MiB of disk, and 4.0 MiB of {small} are free: free some")
        (problem,) = check(small / "store", scratch=large / "scratch", model_bytes=size).problems
        assert (problem.field, problem.value) == ("spec.artifacts.uri", str(small / "store"))
        assert "needs about 32.0 MiB" in problem.message


def test_a_disk_that_can_take_hardly_any_more_files_is_a_problem(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path / "disk", mib=64, options="nr_inodes=50") as disk:
        (message,) = messages(check(disk / "store", model_bytes=1), "spec.artifacts.uri")
    assert f"the file system {disk} can take 49 more files (inodes): free some, or put the store elsewhere" in message


def test_the_disk_of_pods_is_not_that_of_preflight() -> None:
    findings = Findings()
    machine.check(StoreLocation(uri="s3://bucket"), STEPS, model_bytes=1 << 60, engine=ENGINE, findings=findings)
    assert messages(findings, "machine") == messages(findings, "spec.artifacts.uri") == []


def test_a_model_larger_than_memory_is_refused_where_the_engine_runs_on_the_cpu(tmp_path: Path) -> None:
    if not is_cpu_build():
        pytest.skip("the CPU engine is not installed")
    assert "of memory: use a smaller model" in messages(check(tmp_path, model_bytes=1 << 50), "spec.baseModel.uri")[0]


@pytest.mark.parametrize(("needed", "problems"), [("answers", 1), ("gate", 0)])
def test_a_quantisation_that_the_cpu_engine_lacks_is_refused_for_steps_that_generate(
    needed: str, problems: int, tmp_path: Path
) -> None:
    if not is_cpu_build():
        pytest.skip("the CPU engine is not installed")
    findings, steps = Findings(), [step for step in STEPS if step.kind == needed]
    machine.check(
        StoreLocation(uri=tmp_path.as_uri()),
        steps,
        model_bytes=1,
        engine=EngineParameters(quantization="mxfp4"),
        findings=findings,
    )
    found = [problem for problem in findings.problems if problem.field == "spec.engine.quantization"]
    assert [problem.value for problem in found] == ["mxfp4"] * problems


def test_disk_is_needed_for_the_remaining_steps_alone() -> None:
    def needed(*kinds: str) -> tuple[int, int]:
        steps = [step for step in STEPS if not kinds or step.kind in kinds]
        return machine.stored_bytes(steps, model_bytes=10), machine.scratch_bytes(steps, model_bytes=10)

    assert needed() == (40, 20)
    assert needed("image") == (10, 20)
    assert needed("score", "gate") == (0, 10)
    assert needed("gate") == (0, 0)


def test_the_memory_table_is_read_in_bytes() -> None:
    text = "MemTotal:       2048 kB\nHugePages_Total:       0\nMemAvailable:    1 kB\n"
    assert machine.memory_table(text) == {"MemTotal": 2 << 20, "MemAvailable": 1 << 10}
