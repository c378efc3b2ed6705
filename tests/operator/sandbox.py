"""A folder in which tests carry out `selfalign run` with a stand-in stage program."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.operator.builders import manifest

STANDIN = Path(__file__).with_name("standin.py")
LAUNCH = """
import json, sys
from pathlib import Path
from selfalign_operator.cli import commands
arguments = json.loads(sys.argv[1])
sys.exit(commands.run(Path(arguments["file"]), workdir=Path(arguments["workdir"]), set_values=arguments["set"],
                      as_json=True, program=tuple(arguments["program"])))
"""


@dataclass
class Sandbox:
    """A folder with a manifest, a script for the stand-in stage program, and its journal."""

    folder: Path

    def script(self, **behaviours: Any) -> None:
        """Writes the behaviour of each step's attempts; underscores in names stand for dashes."""
        by_step = {name.replace("_", "-"): value for name, value in behaviours.items()}
        (self.folder / "script.json").write_text(json.dumps(by_step))

    def start(self, *set_values: str, workdir: Path | None = None) -> subprocess.Popen[str]:
        program = [sys.executable, str(STANDIN), str(self.folder / "script.json")]
        paths = {"file": str(self.folder / "run.yaml"), "workdir": str(workdir or self.folder / "work")}
        arguments = json.dumps(paths | {"set": set_values, "program": program})
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", LAUNCH, arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
        """Waits for the end; exit code, status, and standard error."""
        out, err = process.communicate(timeout=60)
        return process.returncode, json.loads(out) if out else {}, err

    def run(self, *set_values: str, workdir: Path | None = None) -> tuple[int, dict[str, Any], str]:
        return self.finish(self.start(*set_values, workdir=workdir))

    def journal(self) -> list[str]:
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def standins(self) -> list[int]:
        """Ids of the stand-in processes of this folder that are alive."""
        script = str(self.folder / "script.json").encode()
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if script in arguments:
                pids.append(int(entry.name))
        return pids


@contextmanager
def opened(folder: Path) -> Iterator[Sandbox]:
    """A sandbox in a folder; its processes are gone afterwards."""
    (folder / "run.yaml").write_text(yaml.safe_dump(manifest()))
    sandbox = Sandbox(folder)
    sandbox.script()
    yield sandbox
    for pid in sandbox.standins():
        os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)
