"""The real Kueue controller beside the API server: its own definitions and webhooks, its process on this machine."""

import base64
import json
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import go_modules
from tests.cluster.control_plane import Cluster, wait_for
from tests.s3_server import free_port
from tests.tools import built_once

MODULE, VERSION = "sigs.k8s.io/kueue", "v0.12.3"
WEBHOOKS = ("job", "workload", "clusterqueue", "resourceflavor", "cohort")
"""Those for Jobs and for Kueue's own objects; the rest are for frameworks that are not here."""

METRICS_CERTIFICATES = Path("/etc/kueue/metrics/certs")
"""Kueue looks nowhere else."""


@contextmanager
def kueue(cluster: Cluster) -> Iterator[None]:
    """Runs until the block ends."""
    state = cluster.state / "kueue"
    state.mkdir()
    program, source = _program(), _source()
    for definition in sorted((source / "config/components/crd/bases").iterdir()):
        cluster.kubectl("apply", "--server-side", "-f", str(definition))
    served = ("get", "workloads,localqueues,clusterqueues,resourceflavors,cohorts,admissionchecks,topologies", "-A")
    wait_for("Kueue's kinds are served", lambda: "the server doesn't have" not in cluster.kubectl(*served, check=False))
    cluster.kubectl("create", "namespace", "kueue-system")
    port, health = free_port(), free_port()
    authority = _certificate(state)
    if os.geteuid() != 0:
        pytest.skip("Kueue reads its certificates in /etc, which needs root")
    METRICS_CERTIFICATES.parent.mkdir(parents=True, exist_ok=True)
    METRICS_CERTIFICATES.unlink(missing_ok=True)  # a test process that was killed leaves it
    METRICS_CERTIFICATES.symlink_to(state)
    (state / "config.yaml").write_text(yaml.safe_dump(_configuration(state, port, health)))
    arguments = [f"--kubeconfig={cluster.kubeconfig}", f"--config={state / 'config.yaml'}"]
    arguments.append("--feature-gates=VisibilityOnDemand=false")  # it runs in pods alone
    process = cluster.start("kueue-controller", str(program), *arguments)
    try:
        wait_for("Kueue is ready", lambda: process.poll() is None and _answers(f"http://127.0.0.1:{health}/readyz"))
        cluster.kubectl("apply", "-f", "-", text=_webhooks(source, f"https://127.0.0.1:{port}", authority))
        yield
    finally:
        for kind in ("mutatingwebhookconfiguration", "validatingwebhookconfiguration"):
            cluster.kubectl("delete", kind, "-l", "selfalign.dev/test=kueue", check=False)
        METRICS_CERTIFICATES.unlink()
        METRICS_CERTIFICATES.parent.rmdir()
        process.terminate()
        process.wait(30)


def _configuration(state: Path, port: int, health: int) -> dict[str, Any]:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta1",
        "kind": "Configuration",
        "namespace": "kueue-system",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": port, "host": "127.0.0.1", "certDir": str(state)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "integrations": {"frameworks": ["batch/job"]},
    }


def _webhooks(source: Path, address: str, authority: bytes) -> str:
    """Kueue's own webhook configurations, pointed at our process."""
    documents = list(yaml.safe_load_all((source / "config/components/webhook/manifests.yaml").read_text()))
    for document in documents:
        name = f"kueue-{document['metadata']['name']}"
        document["metadata"] = {"name": name, "labels": {"selfalign.dev/test": "kueue"}}
        kept = [hook for hook in document["webhooks"] if hook["name"].split(".")[0][1:] in WEBHOOKS]
        for hook in kept:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": address + path, "caBundle": base64.b64encode(authority).decode()}
        document["webhooks"] = kept
    return yaml.safe_dump_all(documents)


def _certificate(state: Path) -> bytes:
    """A certificate for 127.0.0.1; it is its own authority."""
    key, certificate = state / "tls.key", state / "tls.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kueue"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate.read_bytes()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _program() -> Path:
    def build(folder: Path) -> Path:
        output = folder / "built"
        go_modules.build(folder, f"{MODULE}@{VERSION}", packages=[f"{MODULE}/cmd/kueue"], output=str(output))
        return output

    return built_once(f"kueue-{VERSION}", build)


def _source() -> Path:
    """The module's folder, which has its definitions."""
    with tempfile.TemporaryDirectory() as folder:
        told = go_modules.go(Path(folder), "mod", "download", "-json", f"{MODULE}@{VERSION}")
    return Path(json.loads(told)["Dir"])
