"""A stage process as the operator observes it: exit code, result file, progress, and reaction to signals."""

import json
import resource
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import small_disk
from tests.stages.base_model import folders, hub
from tests.stages.main import processes

from selfalign_operator.local.process import free_port
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import Failure, Leaf, Result, StoreLocation

HUB = Leaf(uri="hf://harbour/lantern", revision=hub.COMMIT)
HEAVY = ("torch", "transformers", "vllm", "peft", "boto3", "huggingface_hub", "tokenizers", "numpy", "yaml")


@pytest.fixture
def local(tmp_path: Path) -> Leaf:
    return Leaf(uri=folders.write(tmp_path / "model", folders.contents()).as_uri())


@pytest.fixture
def served() -> Iterator[hub.HubState]:
    with hub.serving(folders.contents(shards=2)) as state:
        yield state


def test_a_step_publishes_once_and_is_a_cache_hit_afterwards(tmp_path: Path, local: Leaf) -> None:
    task = processes.import_task(tmp_path, local)
    first, second = (processes.run(tmp_path, "import", task) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert Result.model_validate(first.result).cache == "Miss"
    assert second.result == first.result | {"cache": "Hit"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "result.json", "store", "task.json"]


def test_a_cache_hit_imports_nothing_heavy(tmp_path: Path, local: Leaf) -> None:
    task = processes.import_task(tmp_path, local)
    processes.run(tmp_path, "import", task)
    program = "import sys; from selfalign_stages import main; main.main(); print(*sys.modules)"
    hit = processes.wait(tmp_path, processes.start(tmp_path, "import", task, program=("-c", program)))
    assert hit.result["cache"] == "Hit"
    modules = set(hit.log.split())
    assert "selfalign_stages.contract.termination_message" in modules
    assert not modules & set(HEAVY)


def test_a_step_may_read_prompts_of_ones_own_from_a_hub(tmp_path: Path) -> None:
    """The variable that keeps Transformers from asking a hub would keep this step from it as well."""
    leaves = {
        "pack:queries": Leaf(uri="builtin://hamlet"),
        "promptSource:0": Leaf(uri="hf://datasets/harbour/lantern/rows.jsonl", revision=hub.COMMIT),
    }
    task = processes.import_task(tmp_path, HUB).model_copy(
        update={
            "kind": "prompts",
            "leaves": leaves,
            "parameters": {"prompts": 1, "dedupRougeL": 0.7, "decontaminate": False, "ownPrompts": [1]},
        }
    )
    with hub.serving({"rows.jsonl": b'{"prompt": "Name three birds"}\n'}) as state:
        state.dataset = True
        ended = processes.run(tmp_path, "prompts", task, HF_ENDPOINT=state.address)
    assert ended.code == 0, ended.log
    assert Result.model_validate(ended.result).counts.kept == 1


def failure(ended: processes.Ended) -> Failure:
    return Failure.model_validate(ended.result)


def test_a_wrong_input_ends_with_42(tmp_path: Path) -> None:
    ended = processes.run(tmp_path, "import", processes.import_task(tmp_path, Leaf(uri="file:///no/such/folder")))
    assert ended.code == ExitCode.BAD_INPUT
    assert failure(ended).reason == "BaseModelMissing"
    assert "Traceback" not in ended.log


@pytest.mark.parametrize("text", ["{", "{}", '{"id": "x", "news": 1}'])
def test_a_task_of_another_version_ends_with_42(tmp_path: Path, text: str) -> None:
    ended = processes.run(tmp_path, "import", text)
    assert (ended.code, failure(ended).reason) == (ExitCode.BAD_INPUT, "InvalidTask")


def test_a_task_of_another_kind_ends_with_42(tmp_path: Path, local: Leaf) -> None:
    ended = processes.run(tmp_path, "train", processes.import_task(tmp_path, local))
    assert ended.code == ExitCode.BAD_INPUT
    assert "is a task of kind import, not train" in failure(ended).message


def test_refused_access_ends_with_43(tmp_path: Path, served: hub.HubState) -> None:
    served.gated = True
    ended = processes.run(tmp_path, "import", processes.import_task(tmp_path, HUB), HF_ENDPOINT=served.address)
    assert (ended.code, failure(ended).reason) == (ExitCode.ACCESS_DENIED, "AccessDenied")


def test_a_store_that_cannot_be_written_ends_with_43(tmp_path: Path, local: Leaf) -> None:
    with small_disk.mounted(tmp_path / "disk") as disk:
        small_disk.make_read_only(disk)
        store = StoreLocation(uri=(disk / "store").as_uri())
        task = processes.import_task(tmp_path, local).model_copy(update={"store": store})
        ended = processes.run(tmp_path, "import", task)
    assert (ended.code, failure(ended).reason) == (ExitCode.ACCESS_DENIED, "AccessDenied")
    assert f"the file system {disk} is read-only" in failure(ended).message


def test_a_lack_of_memory_ends_with_44(tmp_path: Path, local: Leaf) -> None:
    # Parsed, it takes twenty times its size.
    (tmp_path / "model" / folders.INDEX).write_bytes(b'{"weight_map": [' + b"[]," * (3 << 20) + b"[]]}")
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({260 << 20}, {resource.RLIM_INFINITY})); "
    program = ("-c", limit + "import sys; from selfalign_stages import main; sys.exit(main.main())")
    process = processes.start(tmp_path, "import", processes.import_task(tmp_path, local), program=program)
    ended = processes.wait(tmp_path, process)
    assert (ended.code, failure(ended).reason) == (ExitCode.DOES_NOT_FIT, "DoesNotFit")


def test_a_service_that_is_down_ends_with_76(tmp_path: Path, served: hub.HubState) -> None:
    served.down = True
    ended = processes.run(tmp_path, "import", processes.import_task(tmp_path, HUB), HF_ENDPOINT=served.address)
    assert (ended.code, failure(ended).reason) == (ExitCode.UNAVAILABLE, "Unavailable")


def test_anything_else_is_a_crash_with_its_traceback_in_the_log(tmp_path: Path, local: Leaf) -> None:
    task = processes.import_task(tmp_path, local)
    ended = processes.run(tmp_path, "import", task, "--scratch", str(tmp_path / "nowhere"))
    assert (ended.code, failure(ended).reason) == (1, "Crash")
    assert "Traceback" in ended.log


def test_a_signal_ends_the_step_where_nothing_is_lost(tmp_path: Path, served: hub.HubState) -> None:
    served.go_on.clear()
    task = processes.import_task(tmp_path, HUB)
    process = processes.start(tmp_path, "import", task, HF_ENDPOINT=served.address)
    assert served.waiting.wait(60)
    process.send_signal(signal.SIGTERM)
    served.go_on.set()
    ended = processes.wait(tmp_path, process)
    assert (ended.code, failure(ended).reason) == (ExitCode.INTERRUPTED, "Interrupted")
    assert list((tmp_path / "store").rglob("model-00001-of-00002.safetensors"))
    assert not list((tmp_path / "store").rglob("manifest.json"))
    assert processes.run(tmp_path, "import", task, HF_ENDPOINT=served.address).result["cache"] == "Miss"


def test_a_killed_import_resumes_and_publishes_the_same(tmp_path: Path, served: hub.HubState) -> None:
    served.go_on.clear()
    task = processes.import_task(tmp_path, HUB)
    process = processes.start(tmp_path, "import", task, HF_ENDPOINT=served.address)
    assert served.waiting.wait(60)
    process.kill()
    assert processes.wait(tmp_path, process).code == -signal.SIGKILL
    served.go_on.set()
    resumed = processes.run(tmp_path, "import", task, HF_ENDPOINT=served.address)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    straight = processes.run(fresh, "import", processes.import_task(fresh, HUB), HF_ENDPOINT=served.address)
    assert resumed.result["digest"] == straight.result["digest"]


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path, served: hub.HubState) -> None:
    served.go_on.clear()
    process = processes.start(tmp_path, "import", processes.import_task(tmp_path, HUB), HF_ENDPOINT=served.address)
    assert served.waiting.wait(60)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
    assert processes.wait(tmp_path, process).code == -signal.SIGTERM


def test_progress_and_metrics_agree_while_a_step_runs(tmp_path: Path, served: hub.HubState) -> None:
    served.go_on.clear()
    port = free_port()
    task = processes.import_task(tmp_path, HUB)
    process = processes.start(tmp_path, "import", task, "--port", str(port), HF_ENDPOINT=served.address)
    assert served.waiting.wait(60)
    progress = json.loads(_get(port, "/progress"))
    assert 0 < progress["done"] < progress["total"]
    assert progress["unit"] == "bytes"
    assert f'selfalign_step_done{{step="import",unit="bytes"}} {progress["done"]}' in _get(port, "/metrics")
    served.go_on.set()
    assert processes.wait(tmp_path, process).code == 0


def test_a_port_that_is_taken_costs_only_the_progress(tmp_path: Path, local: Leaf, served: hub.HubState) -> None:
    taken = served.address.rpartition(":")[2]
    ended = processes.run(tmp_path, "import", processes.import_task(tmp_path, local), "--port", taken)
    assert ended.code == 0
    assert f"serves no progress on 127.0.0.1:{taken}" in ended.log


def test_the_log_holds_no_address_that_a_hub_signed(tmp_path: Path, served: hub.HubState) -> None:
    ended = processes.run(tmp_path, "import", processes.import_task(tmp_path, HUB), HF_ENDPOINT=served.address)
    assert (ended.code, ended.log) == (0, "")


def _get(port: int, path: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())
