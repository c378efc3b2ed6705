"""Kubernetes with its etcd, built from their Go modules once per machine: no image and no binary is downloaded."""

import fcntl
import json
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from tests import go_modules

KUBERNETES = "1.34.2"
"""1.34 is the last minor whose kubelet takes cgroup v1 by default. etcd comes in the version that it depends on."""
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
PROGRAM = "kubernetes"
"""What all servers are links to; kubectl stays apart, because tests call it often and it starts faster alone."""
SOURCE = Path(__file__).with_name("kubernetes") / "main.go"
CACHE = Path.home() / ".cache" / "selfalign" / f"kubernetes-{KUBERNETES}"
VERSION_PACKAGE = "k8s.io/component-base/version"


def binaries() -> Path:
    """The folder with all programs; skips the test where there is no Go."""
    wanted = [*SERVERS, "kubectl"]
    if all((CACHE / name).exists() for name in wanted):
        return CACHE
    if shutil.which("go") is None:
        pytest.skip("needs Go to build Kubernetes")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((CACHE / name).exists() for name in wanted):
            with tempfile.TemporaryDirectory() as folder:
                _build(Path(folder))
    return CACHE


def _build(folder: Path) -> None:
    """The module replaces its staging modules by folders of its own, which this one replaces by their releases."""
    module = json.loads(go_modules.go(folder, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"))["Dir"]
    staged = re.findall(r"^\s+(\S+) => \./staging", (Path(module) / "go.mod").read_text(), re.MULTILINE)
    library, minor = f"v0.{KUBERNETES.partition('.')[2]}", KUBERNETES.split(".")[1]
    version = {"gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": minor}
    shutil.copy(SOURCE, folder)
    go_modules.build(
        folder,
        f"k8s.io/kubernetes@v{KUBERNETES}",
        packages=[".", "k8s.io/kubernetes/cmd/kubectl"],
        output=f"{folder}/built/",
        flags=" ".join(["-s -w", *(f"-X {VERSION_PACKAGE}.{name}={value}" for name, value in version.items())]),
        more="".join(f"replace {name} => {name} {library}\n" for name in staged),
    )
    for name in SERVERS:
        (CACHE / name).unlink(missing_ok=True)
        (CACHE / name).symlink_to(PROGRAM)
    shutil.move(folder / "built" / "own", CACHE / PROGRAM)
    shutil.move(folder / "built" / "kubectl", CACHE / "kubectl")
