"""Real programs that tests run against, built from their Go modules once per machine."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Before a command: it ends when the test process does, even if that is killed."""
CACHE = Path.home() / ".cache" / "selfalign" / "bin"


def go_tool(module: str, version: str) -> Path:
    """The program of a Go module at a version; skips the test where there is no Go."""
    name = module.rpartition("/")[2]

    def install(folder: Path) -> Path:
        environment = os.environ | {"GOBIN": str(folder), "CGO_ENABLED": "0"}
        subprocess.run(["go", "install", f"{module}@{version}"], env=environment, check=True, capture_output=True)
        return folder / name

    return built_once(f"{name}-{version}", install)


def built_once(name: str, build: Callable[[Path], Path]) -> Path:
    """A program that `build` makes in an empty folder, kept for this machine; skips the test where there is no Go."""
    target = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            if shutil.which("go") is None:
                pytest.skip(f"needs Go to build {name}")
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                build(Path(folder)).replace(target)
    return target


def run_tool(program: Path, *arguments: str, check: bool = True) -> str:
    """What a program prints; with its errors where it may fail."""
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{program.name} {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def wait_for_answer(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Waits until a server answers, if only that we are not signed in."""
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers at {url}; its log stands beside its folder")
