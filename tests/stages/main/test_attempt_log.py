"""The log of a stage process in the store: after a success, a failure and a stop, and without credentials."""

import base64
import json
from pathlib import Path

import pytest
from tests.stages.base_model import folders
from tests.stages.main import processes

from selfalign_stages.attempt_log import REDACTED, Tail, redacted, secrets
from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.task import Leaf

NAME = "runs/team/juniper/uid-1/logs/import-1"


def logs(folder: Path) -> dict[str, str]:
    """All logs in the store by the last part of their name."""
    return {path.name: path.read_text() for path in sorted((folder / "store").glob("runs/**/*.log"))}


NOWHERE = Leaf(uri="file:///no/such/folder")


def end(
    folder: Path, leaf: Leaf = NOWHERE, statement: str = "", environment: dict[str, str] | None = None
) -> processes.Ended:
    """Runs an import as a pod does, or a step that is nothing but a statement."""
    task = processes.import_task(folder, leaf)
    pod = {"SELFALIGN_TASK": task.model_dump_json(by_alias=True), "SELFALIGN_LOG": NAME} | (environment or {})
    program = processes.failing(statement) if statement else processes.PROGRAM
    return processes.wait(folder, processes.start(folder, "import", task, program=program, **pod))


def test_a_success_and_a_cache_hit_leave_their_log(tmp_path: Path) -> None:
    model = Leaf(uri=folders.write(tmp_path / "model", folders.contents()).as_uri())
    assert end(tmp_path, leaf=model).code == 0
    assert end(tmp_path, leaf=model).code == 0  # a cache hit
    assert "the artifact exists already" in logs(tmp_path)["import-1-pod-2.log"]
    assert (tmp_path / "store" / NAME).with_suffix(".log").is_file()


def test_a_crash_leaves_its_log(tmp_path: Path) -> None:
    assert (
        end(tmp_path, statement="print('the last words', flush=True); raise SystemError('no reason at all')").code == 1
    )
    crash = logs(tmp_path)["import-1.log"]
    assert "the last words" in crash and "SystemError: no reason at all" in crash


def test_an_interrupted_step_leaves_its_log_and_keeps_its_exit_code(tmp_path: Path) -> None:
    statement = (
        "print('going on', flush=True); import signal; signal.raise_signal(15); context.stop.at_once().__enter__()"
    )
    ended = end(tmp_path, statement=statement)
    assert ended.code in (ExitCode.INTERRUPTED, 143)
    assert "going on" in logs(tmp_path)["import-1.log"]


def test_workers_and_replaced_pods_have_a_log_each(tmp_path: Path) -> None:
    for worker in ("0", "1", "1"):
        end(tmp_path, environment={"JOB_COMPLETION_INDEX": worker})
    assert list(logs(tmp_path)) == [
        "import-1-worker-0.log",
        "import-1-worker-1-pod-2.log",
        "import-1-worker-1.log",
    ]


def test_a_store_that_takes_no_log_changes_no_exit_code(tmp_path: Path) -> None:
    blocked = {"SELFALIGN_TASK": json.dumps({"store": {"uri": "file:///proc/no/store"}})}
    ended = end(tmp_path, statement="print('x')", environment=blocked)
    assert "this log is not in the store" in ended.log
    without = end(tmp_path, statement="print('x')", environment={"SELFALIGN_LOG": ""})
    assert ended.code == without.code and "not in the store" not in without.log


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "BASE_MODEL_HF_TOKEN"])
def test_a_credential_of_the_environment_is_not_in_the_log(variable: str, tmp_path: Path) -> None:
    secret = "correct-horse-battery"
    statement = f"import os; print('key', os.environ['{variable}'], flush=True)"
    end(tmp_path, statement=statement, environment={variable: secret})
    (text,) = logs(tmp_path).values()
    assert f"key {REDACTED}" in text and secret not in text


def test_mounted_credentials_and_presigned_addresses_are_not_in_the_log(tmp_path: Path) -> None:
    mounted = tmp_path / "credentials" / "artifacts" / "AWS_SECRET_ACCESS_KEY"
    mounted.parent.mkdir(parents=True)
    mounted.write_text("renewed-secret\n")
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(b"robot:registry-password").decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {"reg.test": {"auth": auth}}}))
    hidden = secrets({"DOCKER_CONFIG": str(tmp_path / "docker"), "PATH": "/usr/bin"}, tmp_path / "credentials")
    assert hidden == {"renewed-secret", auth, "registry-password"}
    text = redacted(f"renewed-secret {auth} registry-password GET /x?X-Amz-Signature=abc123&partNumber=1", hidden)
    assert text == f"{REDACTED} {REDACTED} {REDACTED} GET /x?X-Amz-Signature={REDACTED}&partNumber=1"


def test_a_long_log_keeps_its_end() -> None:
    tail = Tail(limit=2048)
    for number in range(1000):
        tail.write(f"line {number}\n")
    text = tail.text()
    assert text.startswith("[only the last 2 KiB were kept]\n") and text.endswith("line 999\n")
    assert len(text) <= 2048 + 40
