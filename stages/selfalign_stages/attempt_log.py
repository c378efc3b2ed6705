"""Keeps the log of a stage process in the artifact store, because a pod's log is deleted with the pod.

What the process writes to standard output and standard error is kept, up to its last MiB, and uploaded when the process
ends: after a success, a failure, and a stop in time. A process that is killed leaves no log, nor do processes that it
starts, such as an engine's workers. The log is a record for people: nothing reads it, and without it a step counts all
the same.

Credentials are replaced by `[redacted]`: the values of the mounted Secrets and of the environment's credentials, and
the signatures of presigned URLs. Whoever may read the store would otherwise have the rights of the pod.
"""

import base64
import functools
import json
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract import credentials
from selfalign_stages.contract.task import LOG_VARIABLE, TASK_VARIABLE, StoreLocation

LIMIT_BYTES = 1024 * 1024
"""Bytes that are kept of the end of a log."""
UPLOAD_SECONDS = 20.0
"""Limit on the upload, well within a pod's grace period. The exit code of the step must not wait for a slow store."""
MAX_PODS = 50
"""Pods of one attempt and worker that keep a log each; the Job controller replaces a pod that was preempted."""
REDACTED = "[redacted]"
SECRET_VARIABLE = re.compile(r"(SECRET|TOKEN|PASSWORD|ACCESS_KEY)", re.IGNORECASE)
"""Names of environment variables whose values are credentials."""
SHORTEST_SECRET = 6
"""Shorter values are left alone: they would be found in every word."""
SIGNATURES = re.compile(
    r"(X-Amz-(?:Signature|Credential|Security-Token)=|Authorization: ?\w+ )[^\s&\"']+", re.IGNORECASE
)


class Tail:
    """The last LIMIT_BYTES of what was written, from any thread."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._pieces: deque[str] = deque()
        self._limit, self._size, self._cut = limit, 0, False
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Appends a text and drops what is above the limit, at the beginning."""
        with self._lock:
            self._pieces.append(text[-self._limit :])
            self._size += len(self._pieces[-1])
            while self._size > self._limit and len(self._pieces) > 1:
                self._size -= len(self._pieces.popleft())
                self._cut = True

    def text(self) -> str:
        """Returns what is kept, with a note if the beginning is missing."""
        with self._lock:
            kept = "".join(self._pieces)
            return f"[only the last {self._limit // 1024} KiB were kept]\n{kept}" if self._cut else kept


class _Tee:
    """A text stream that also writes to a tail."""

    def __init__(self, stream: TextIO, tail: Tail) -> None:
        self._stream, self._tail = stream, tail

    def write(self, text: str) -> int:
        self._tail.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def kept(main: Callable[..., int]) -> Callable[..., int]:
    """Decorates a program's main function: keeps its log in the store if LOG_VARIABLE is set."""

    @functools.wraps(main)
    def wrapped(*arguments: Any, **options: Any) -> int:
        name = os.environ.get(LOG_VARIABLE)
        if not name:
            return main(*arguments, **options)
        tail, streams = Tail(), (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = _Tee(sys.stdout, tail), _Tee(sys.stderr, tail)
        try:
            return main(*arguments, **options)
        finally:
            sys.stdout, sys.stderr = streams
            _upload(name, tail.text())

    return wrapped


def _upload(name: str, text: str) -> None:
    """Uploads a log within UPLOAD_SECONDS; one that cannot be uploaded is mentioned in the pod's own log."""
    problem: list[str] = []

    def upload() -> None:
        try:
            location = StoreLocation.model_validate(json.loads(os.environ[TASK_VARIABLE])["store"])
            data, store = redacted(text, secrets(os.environ)).encode(), open_store(location)
            # a name is never reused: the log of a pod that was preempted stays beside that of its replacement
            if not any(store.put(candidate, data) for candidate in _names(name)):
                problem.append(f"{MAX_PODS} logs exist already")
        except Exception as error:  # the step has ended, and its result counts whatever happens to its log
            problem.append(str(error))

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    thread.join(UPLOAD_SECONDS)
    if thread.is_alive():
        problem.append(f"no response within {UPLOAD_SECONDS:.0f} s")
    if problem:
        sys.stderr.write(f"{name}: this log is not in the store: {problem[0]}\n")


def _names(name: str) -> Iterator[str]:
    # set by the Job controller in pods of an Indexed Job
    worker = os.environ.get("JOB_COMPLETION_INDEX")
    base = f"{name}-worker-{worker}" if worker is not None else name
    yield f"{base}.log"
    yield from (f"{base}-pod-{number}.log" for number in range(2, MAX_PODS + 1))


def secrets(environment: Mapping[str, str], folder: Path = credentials.FOLDER) -> set[str]:
    """Returns the credentials that a process can have read, as they may appear in its output.

    Args:
        environment: its environment.
        folder: parent of the mounted Secrets.
    """
    values = {value for name, value in environment.items() if SECRET_VARIABLE.search(name)}
    # Secret volumes have hidden folders beside the links that people see; the files are the same
    files = [file for file in folder.glob("*/*") if file.is_file()] if folder.is_dir() else []
    if "DOCKER_CONFIG" in environment:
        files.append(Path(environment["DOCKER_CONFIG"]) / "config.json")
    for file in files:
        try:
            text = file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        values |= _registry_passwords(text) if file.name in ("config.json", ".dockerconfigjson") else {text}
    return {value for value in values if len(value) >= SHORTEST_SECRET}


def _registry_passwords(text: str) -> set[str]:
    """The passwords of a docker config.json, and their encoded form."""
    try:
        entries = [entry for entry in json.loads(text)["auths"].values() if isinstance(entry, dict)]
    except (ValueError, KeyError, AttributeError, TypeError):
        return {text}
    found = {str(entry[key]) for entry in entries for key in ("auth", "password", "identitytoken") if key in entry}
    for entry in entries:
        try:
            found.add(base64.b64decode(entry.get("auth", "")).decode().partition(":")[2])
        except ValueError:
            continue
    return found


def redacted(text: str, hidden: set[str]) -> str:
    """Returns a text without credentials.

    Args:
        text: the log.
        hidden: credentials; the longest are replaced first, since one may contain another.
    """
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, REDACTED)
    return SIGNATURES.sub(rf"\g<1>{REDACTED}", text)
