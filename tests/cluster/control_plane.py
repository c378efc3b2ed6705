"""A real API server with etcd, and the controllers that run Jobs and delete orphans; no node yet."""

import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.binaries import binaries
from tests.s3_server import free_port
from tests.tools import ENDS_WITH_US

TOKEN = "admin-token"
SERVICES = "10.96.0.0/16"
KUBECTL_SECONDS = 300
"""A command that waits for what does not come fails its test, and does not keep all others from running."""
AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: None, userGroups: ["system:serviceaccounts:kube-system"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
"""


@dataclass
class Cluster:
    """`state` holds keys, logs and kubeconfig; whoever starts more for it adds it to `processes`."""

    state: Path
    address: str
    port: int
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def kubeconfig(self) -> Path:
        """For an administrator."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's log of requests by service accounts outside kube-system, one JSON event a line."""
        return self.state / "audit.log"

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        """Starts a program of the cluster; it ends with the test process."""
        log = (self.state / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [*ENDS_WITH_US, *command], stdout=log, stderr=log, cwd=self.state, start_new_session=True
        )
        log.close()
        self.processes.append(process)
        return process

    def kubectl(self, *arguments: str, check: bool = True, text: str | None = None) -> str:
        """What kubectl prints; its errors too where they are wanted."""
        command = [str(binaries() / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=KUBECTL_SECONDS)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def stop(self) -> None:
        """Ends what was started, last first."""
        for process in reversed(self.processes):
            with _gone():
                os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        pass


@contextmanager
def control_plane(state: Path, *, address: str = "127.0.0.1", controllers: bool = True) -> Iterator[Cluster]:
    """Runs until the block ends; about five seconds to come up."""
    programs, port = binaries(), free_port()
    state.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(state=state, address=address, port=port)
    try:
        _etcd_and_api_server(cluster, programs)
        if controllers:
            _controllers(cluster, programs)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(state / "etcd", ignore_errors=True)


def wait_for(what: str, reached: Callable[[], bool], *, seconds: float = 180) -> None:
    """Waits until something holds; an assertion names what did not.

    The longer it takes, the more rarely it is asked for, up to once a second: each question may start a kubectl, and
    several waiting tests would take a core from what they wait for.
    """
    started, pause = time.monotonic(), 0.05
    while time.monotonic() < started + seconds:
        if reached():
            return
        time.sleep(pause)
        pause = min(1.2 * pause, 1.0)
    raise AssertionError(f"not within {seconds} s: {what}")


def _etcd_and_api_server(cluster: Cluster, programs: Path) -> None:
    state, client, peer = cluster.state, free_port(), free_port()
    _openssl("genrsa", "-out", str(state / "sa.key"), "2048")
    _openssl("rsa", "-in", str(state / "sa.key"), "-pubout", "-out", str(state / "sa.pub"))
    (state / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
    at = f"http://127.0.0.1:{client}"
    cluster.start(
        "etcd",
        str(programs / "etcd"),
        f"--data-dir={state / 'etcd'}",
        f"--listen-client-urls={at}",
        f"--advertise-client-urls={at}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
    )
    (state / "audit.yaml").write_text(AUDIT_POLICY)
    cluster.start(
        "apiserver",
        str(programs / "kube-apiserver"),
        f"--etcd-servers={at}",
        f"--cert-dir={state / 'certs'}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={cluster.address}",
        f"--secure-port={cluster.port}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--service-account-key-file={state / 'sa.pub'}",
        f"--service-account-signing-key-file={state / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={state / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--audit-policy-file={state / 'audit.yaml'}",
        f"--audit-log-path={cluster.audit_log}",
        "--kubelet-preferred-address-types=InternalIP",
        "--endpoint-reconciler-type=none" if cluster.address == "127.0.0.1" else "--endpoint-reconciler-type=lease",
    )
    server = f"https://{cluster.address}:{cluster.port}"
    wait_for("the API server is ready", lambda: _ready(server))
    cluster.kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\n"
        f'clusters: [{{name: c, cluster: {{server: "{server}", '
        f"certificate-authority: {state / 'certs' / 'apiserver.crt'}}}}}]\n"
        f"users: [{{name: admin, user: {{token: {TOKEN}}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: admin}}]\ncurrent-context: c\n"
    )


def _controllers(cluster: Cluster, programs: Path) -> None:
    cluster.start(
        "controller-manager",
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--service-account-private-key-file={cluster.state / 'sa.key'}",
        "--use-service-account-credentials",
        f"--root-ca-file={cluster.state / 'certs' / 'apiserver.crt'}",
        "--allocate-node-cidrs",
        "--cluster-cidr=10.244.0.0/16",
        "--leader-elect=false",
        f"--secure-port={free_port()}",
    )
    wait_for("service accounts are made", lambda: "default" in cluster.kubectl("get", "serviceaccounts", check=False))


def _ready(server: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"{server}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, context=context, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
