"""A stage program for tests of the runner: follows the contract, publishes at once, and fails as it is told.

    python standin.py SCRIPT KIND --task T --result R --port N --scratch DIR

SCRIPT is a JSON file {step id: [exit code or "hang" per attempt, then 0 ...]}. Published artifacts are empty
files below SCRIPT's folder, so that a second run finds them as hits.
"""

import argparse
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from selfalign_stages.contract.exits import ExitCode
from selfalign_stages.contract.graph import keys
from selfalign_stages.contract.manifest import Counts
from selfalign_stages.contract.task import Failure, PreflightResult, PreflightTask, Progress, Result, Task


def main() -> int:
    arguments = _arguments()
    if arguments.kind == "preflight":
        return _preflight(arguments)
    task = Task.model_validate_json(arguments.task.read_bytes())
    behaviour = _behaviour(arguments.script, task.id)
    _note(arguments.script, f"start {task.id}")
    if behaviour == "hang":
        return _hang(arguments.port)
    if behaviour:
        failure = Failure(reason="Told", message=f"{task.id} was told to end with {behaviour}")
        arguments.result.write_text(failure.model_dump_json(by_alias=True))
        sys.stderr.write("noise\nlast words of the stand-in\n")
        return int(behaviour)
    (_published(arguments.script) / f"{task.kind}-{task.key}").touch()
    arguments.result.write_text(_result(task.kind, task.key, arguments.script, "Miss").model_dump_json(by_alias=True))
    _note(arguments.script, f"end {task.id}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=Path)
    parser.add_argument("kind")
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    return parser.parse_args()


def _preflight(arguments: argparse.Namespace) -> int:
    task = PreflightTask.model_validate_json(arguments.task.read_bytes())
    told = json.loads(arguments.script.read_text()).get("preflight", {})
    leaves = {name: f"sha256:{name}" for name in task.leaves}
    published = _published(arguments.script)
    found = {}
    for step in task.steps:
        key = keys(task.steps, leaves=leaves, seed=task.seed)[step.id]
        if (published / f"{step.kind}-{key}").exists():
            found[step.id] = _result(step.kind, key, arguments.script, "Hit")
    answer = PreflightResult.model_validate({"leaves": leaves, "found": found, **told})
    arguments.result.write_text(answer.model_dump_json(by_alias=True))
    return ExitCode.PUBLISHED


def _result(kind: str, key: str, script: Path, cache: str) -> Result:
    metrics = {
        "gate": {"passed": True, "failedGates": "", "base.hhh.overall": 0.4, "engraved.hhh.overall": 0.7}
        | {"engraved.hhh.overall.low": 0.6, "engraved.hhh.overall.high": 0.8}
        | json.loads(script.read_text()).get("gateMetrics", {}),
        "image": {"image": "localhost/x:candidate", "digest": "sha256:" + "0" * 64, "size": 12345},
    }
    counts = Counts(rows=10, kept=7, rejected={"too-short": 2, "duplicate": 1}) if kind == "prompts" else Counts()
    return Result.model_validate(
        {"key": key, "cache": cache, "digest": f"sha256:{key}", "counts": counts, "metrics": metrics.get(kind, {})}
    )


def _published(script: Path) -> Path:
    folder = script.parent / "published"
    folder.mkdir(exist_ok=True)
    return folder


def _behaviour(script: Path, id_: str) -> int | str:
    told = json.loads(script.read_text()).get(id_, [])
    count = script.parent / f"attempts-{id_}"
    attempt = int(count.read_text()) if count.exists() else 0
    count.write_text(str(attempt + 1))
    return told[attempt] if attempt < len(told) else 0


def _hang(port: int) -> int:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    server = HTTPServer(("127.0.0.1", port), _Serving)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not stopped.wait(0.02):
        pass
    return ExitCode.INTERRUPTED


class _Serving(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Progress(done=3, total=12, unit="records", rate=1.5, eta=6).model_dump_json().encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def _note(script: Path, line: str) -> None:
    with (script.parent / "journal").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
