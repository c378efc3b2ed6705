"""Kubernetes and etcd, built from their Go modules once per machine: no image and no binary is downloaded."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

KUBERNETES, ETCD = "1.34.2", "3.6.6"
"""1.34 is the last minor whose kubelet takes cgroup v1 by default."""
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
CACHE = Path.home() / ".cache" / "selfalign" / f"kubernetes-{KUBERNETES}"
VERSION_PACKAGE = "k8s.io/component-base/version"
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}


def binaries() -> Path:
    """The folder with all programs; skips the test where there is no Go."""
    wanted = [*PROGRAMS, "etcd"]
    if all((CACHE / name).exists() for name in wanted):
        return CACHE
    if shutil.which("go") is None:
        pytest.skip("needs Go to build Kubernetes")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((CACHE / name).exists() for name in wanted):
            with tempfile.TemporaryDirectory() as folder:
                _kubernetes(Path(folder))
                _etcd(Path(folder) / "etcd")
    return CACHE


def _kubernetes(folder: Path) -> None:
    """`go install` refuses modules that replace others, so a module of our own replaces the same ones."""
    module = json.loads(_go(folder, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"))["Dir"]
    staged = re.findall(r"^\s+(\S+) => \./staging", (Path(module) / "go.mod").read_text(), re.MULTILINE)
    library = f"v0.{KUBERNETES.partition('.')[2]}"
    replaced = "".join(f"replace {name} => {name} {library}\n" for name in staged)
    (folder / "go.mod").write_text(f"module kube\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v{KUBERNETES}\n\n{replaced}")
    commands = [f"k8s.io/kubernetes/cmd/{name}" for name in PROGRAMS]
    imports = "".join(f'\t_ "{command}"\n' for command in commands)
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports})\n")
    _go(folder, "mod", "tidy", "-e")
    minor = KUBERNETES.split(".")[1]
    flags = f"-X {VERSION_PACKAGE}.gitVersion=v{KUBERNETES} -X {VERSION_PACKAGE}.gitMajor=1"
    flags = f"-s -w {flags} -X {VERSION_PACKAGE}.gitMinor={minor}"
    _go(folder, "build", "-trimpath", "-ldflags", flags, "-o", f"{CACHE}/", *commands)


def _etcd(folder: Path) -> None:
    folder.mkdir()
    (folder / "go.mod").write_text(f"module etcd\n\ngo 1.24.0\n\nrequire go.etcd.io/etcd/server/v3 v{ETCD}\n")
    _go(folder, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(CACHE / "etcd"), "go.etcd.io/etcd/server/v3")


def _go(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"go {' '.join(arguments[:2])} failed:\n{done.stderr[-3000:]}")
    return done.stdout
