"""A stage program for tests of the local runner: follows the contract, publishes at once, and fails on request.

    python standin.py SCRIPT KIND --task T --result R --port N --scratch DIR

SCRIPT is a JSON file {step id: behaviour of each attempt}. A behaviour is an exit code, "hang" (serve progress until
SIGTERM), "ignore-sigterm" (hang, and ignore SIGTERM), "family" (the same, with children in groups of their own),
"unhandled" (hang, and leave SIGTERM to its default), "finish" (hang, and publish after SIGTERM) or "lost INPUT" (find
the artifact of that input name damaged, and set it aside); attempts beyond the list succeed. Published artifacts are
empty files beside SCRIPT, which preflight of a later run reports as cache hits, and which are not made again. The file
`journal` beside SCRIPT lists starts and ends of steps in order.
"""

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

PUBLISHED, INTERRUPTED, INPUT_LOST = 0, 75, 77


def main() -> int:
    arguments = _arguments()
    task = json.loads(arguments.task.read_bytes())
    if arguments.kind == "preflight":
        return _preflight(arguments, task)
    published = _published(arguments.script) / f"{task['kind']}-{task['key']}"
    if published.exists():
        arguments.result.write_text(json.dumps(_result(task["kind"], task["key"], arguments.script, "Hit")))
        return PUBLISHED
    behaviour = _behaviour(arguments.script, task["id"])
    # a list and no threading.Event: a handler that interrupts Event.wait would wait for the lock that it holds
    received: list[int] = []
    ignores_sigterm = behaviour in ("ignore-sigterm", "family")
    if behaviour != "unhandled":
        signal.signal(signal.SIGTERM, lambda number, frame: None if ignores_sigterm else received.append(number))
    if behaviour == "family":
        _start_family(arguments.script)
    _journal(arguments.script, f"start {task['id']}")
    if behaviour in ("hang", "ignore-sigterm", "family", "unhandled"):
        return _hang(arguments.port, received)
    if behaviour == "finish":
        _hang(arguments.port, received)
    elif isinstance(behaviour, str):
        return _input_lost(arguments, task, name=behaviour.removeprefix("lost "))
    elif behaviour:
        failure = {"reason": "Scripted", "message": f"{task['id']}: the script requests exit code {behaviour}"}
        arguments.result.write_text(json.dumps(failure))
        sys.stderr.write("first line of the log\nlast line of the log\n")
        return int(behaviour)
    published.touch()
    arguments.result.write_text(json.dumps(_result(task["kind"], task["key"], arguments.script, "Miss")))
    _journal(arguments.script, f"end {task['id']}")
    return PUBLISHED


def _input_lost(arguments: argparse.Namespace, task: dict[str, Any], *, name: str) -> int:
    lost = task["inputs"][name]
    (_published(arguments.script) / f"{lost['kind']}-{lost['key']}").unlink()
    failure = {"reason": "InputLost", "message": f"{name} is damaged, moved to set-aside/x", "lost": lost["key"]}
    arguments.result.write_text(json.dumps(failure))
    return INPUT_LOST


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=Path)
    parser.add_argument("kind")
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    return parser.parse_args()


def _preflight(arguments: argparse.Namespace, document: dict[str, Any]) -> int:
    from selfalign_stages.contract.graph import keys
    from selfalign_stages.contract.task import PreflightTask

    task = PreflightTask.model_validate(document)
    overrides = json.loads(arguments.script.read_text()).get("preflight", {})
    if overrides == "hang":
        _journal(arguments.script, "start preflight")
        signal.pause()
    leaves = {name: f"sha256:{name}" for name in task.leaves}
    published = _published(arguments.script)
    kinds = {step.id: step.kind for step in task.steps}
    hits = {
        id_: _result(kinds[id_], key, arguments.script, "Hit")
        for id_, key in keys(task.steps, leaves=leaves, seed=task.seed).items()
        if (published / f"{kinds[id_]}-{key}").exists()
    }
    arguments.result.write_text(json.dumps({"leaves": leaves, "hits": hits, **overrides}))
    return PUBLISHED


def _result(kind: str, key: str, script: Path, cache: str) -> dict[str, Any]:
    gate = {"passed": True, "failedGates": "", "base.hhh.overall": 0.4, "engraved.hhh.overall": 0.7}
    metrics = {
        "gate": gate | json.loads(script.read_text()).get("gateMetrics", {}),
        "image": {"image": "localhost/x:candidate", "digest": "sha256:" + "0" * 64, "size": 12345},
    }
    counts = {"rows": 10, "kept": 7, "rejected": {"too-short": 2, "duplicate": 1}} if kind == "prompts" else {}
    digest = f"sha256:{key}"
    return {"key": key, "cache": cache, "digest": digest, "counts": counts, "metrics": metrics.get(kind, {})}


def _start_family(script: Path) -> None:
    """Starts a child in this group, one in a session of its own, and one of a parent that has ended."""
    wait = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    child = [sys.executable, "-c", wait, str(script)]
    subprocess.Popen(child)
    subprocess.Popen(child, start_new_session=True)
    daemon = f"import subprocess; subprocess.Popen({child!r}, start_new_session=True)"
    subprocess.run([sys.executable, "-c", daemon], check=True)


def _published(script: Path) -> Path:
    folder = script.parent / "published"
    folder.mkdir(exist_ok=True)
    return folder


def _behaviour(script: Path, id_: str) -> int | str:
    """The behaviour of this attempt. Attempts are counted in a file, since each is a new process."""
    behaviours = json.loads(script.read_text()).get(id_, [])
    counter = script.parent / f"attempts-{id_}"
    attempt = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(attempt + 1))
    return behaviours[attempt] if attempt < len(behaviours) else 0


def _hang(port: int, received: list[int]) -> int:
    server = HTTPServer(("127.0.0.1", port), _ProgressHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not received:
        time.sleep(0.02)
    return INTERRUPTED


class _ProgressHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"done": 3, "total": 12, "unit": "records", "rate": 1.5, "eta": 6}')

    def log_message(self, format: str, *args: object) -> None:
        pass


def _journal(script: Path, line: str) -> None:
    with (script.parent / "journal").open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
