"""A real node for the control plane: containerd, kubelet, kube-proxy and the scheduler. Needs Linux and root."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.binaries import binaries
from tests.cluster.control_plane import Cluster, wait_for
from tests.cluster.mounts import remove_with_mounts
from tests.s3_server import free_port

ADDRESS = "10.250.0.1"
"""On the loopback device: pods reach it, and it leads nowhere else."""
NAME = "node1"
PODS = "10.244.0.0/24"
BRIDGE = "selfalign0"
MARK = Path.home() / ".cache" / "selfalign" / "node"
"""Names the state of the node that runs, or ran when its test process was killed."""
PAUSE = "local.test/pause:1"
PROGRAMS = ("containerd", "runc", "ctr", "ip", "nft", "conntrack", "iptables")
PLUGINS = Path("/usr/lib/cni")
INSTALL = "apt-get install containerd runc containernetworking-plugins buildah iptables conntrack nftables mmdebstrap"


def require() -> None:
    """Skips where a node cannot run, and says why."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("a real node needs Linux and root")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    missing += [] if (PLUGINS / "bridge").exists() else ["CNI plugins"]
    if missing:
        pytest.skip(f"a real node needs {', '.join(missing)}: {INSTALL}")


@contextmanager
def address(state: Path) -> Iterator[str]:
    """The address of this machine's only test node, whose cluster will keep its state in the folder `state`.

    Waits for the node of another test process, and clears away what a killed one left.
    """
    require()
    MARK.parent.mkdir(parents=True, exist_ok=True)
    with MARK.open("a+") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        mark.seek(0)
        if left := mark.read():
            _clean(Path(left))
        MARK.write_text(str(state))
        _run("ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo")
        try:
            yield ADDRESS
        finally:
            _clean(state)
            _run("ip", "address", "delete", f"{ADDRESS}/32", "dev", "lo", check=False)
            MARK.write_text("")


@contextmanager
def node(cluster: Cluster, *, registry: str) -> Iterator[None]:
    """Joins a node that may pull from `registry` over plain HTTP; takes everything down again."""
    programs = binaries()
    _run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    kubeconfig = f"--kubeconfig={cluster.kubeconfig}"
    try:
        _containerd(cluster, registry)
        scheduler = [str(programs / "kube-scheduler"), kubeconfig, "--leader-elect=false"]
        cluster.start("scheduler", *scheduler, f"--secure-port={free_port()}")
        proxy = ["--proxy-mode=nftables", f"--hostname-override={NAME}", "--cluster-cidr=10.244.0.0/16"]
        ports = [f"--healthz-bind-address=127.0.0.1:{free_port()}", f"--metrics-bind-address=127.0.0.1:{free_port()}"]
        cluster.start("proxy", str(programs / "kube-proxy"), kubeconfig, *proxy, *ports)
        _kubelet(cluster, programs / "kubelet", kubeconfig)
        ready = ("get", "node", NAME, "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')
        wait_for("the node is ready", lambda: "True" in cluster.kubectl(*ready, check=False))
        yield
    finally:
        cluster.stop()


def _kubelet(cluster: Cluster, program: Path, kubeconfig: str) -> None:
    state = cluster.state
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{state / 'containerd.sock'}",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "port": free_port(),
        "healthzPort": free_port(),
        "serializeImagePulls": False,
    }
    (state / "kubelet.yaml").write_text(yaml.safe_dump(settings))
    where = [f"--config={state / 'kubelet.yaml'}", f"--root-dir={state / 'kubelet'}"]
    who = [f"--hostname-override={NAME}", f"--node-ip={ADDRESS}"]
    cluster.start("kubelet", str(program), kubeconfig, *where, *who)


def _containerd(cluster: Cluster, registry: str) -> None:
    state = cluster.state
    trusted = state / "registries" / registry
    trusted.mkdir(parents=True)
    (trusted / "hosts.toml").write_text(
        f'server = "http://{registry}"\n[host."http://{registry}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    (state / "cni").mkdir()
    addresses = {
        "type": "host-local",
        "dataDir": str(state / "addresses"),
        "subnet": PODS,
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    network = {"cniVersion": "0.4.0", "name": "bridge", "plugins": [bridge]}
    (state / "cni" / "10-bridge.conflist").write_text(json.dumps(network))
    (state / "containerd.toml").write_text(
        f"""version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
[grpc]
  address = "{state}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true   # without CAP_SYS_RESOURCE runc dies: "can't get final child's PID from pipe"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    discard_unpacked_layers = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{state}/runc"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{state}/registries"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{state}/cni"
"""
    )
    cluster.start("containerd", "containerd", "--config", str(state / "containerd.toml"))
    ctr = ("ctr", "--address", str(state / "containerd.sock"))
    wait_for("containerd answers", lambda: _run(*ctr, "version", check=False) == 0)
    _pause(state)
    _run(*ctr, "--namespace", "k8s.io", "images", "import", str(state / "pause.tar"))


def kill(cluster: Cluster, pod: dict[str, Any]) -> None:
    """Kills a pod's first container without warning, as the kernel does."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    ctr = ["ctr", "--address", str(cluster.state / "containerd.sock"), "--namespace", "k8s.io"]
    _run(*ctr, "tasks", "kill", "--signal", "SIGKILL", container)


def _pause(state: Path) -> None:
    """The image of the process that holds a pod's network."""
    (state / "pause.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    _run("gcc", "-static", "-O2", "-o", str(state / "pause"), str(state / "pause.c"))
    buildah = ["buildah", "--root", str(state / "pause-storage"), "--runroot", str(state / "pause-run")]
    found = subprocess.run([*buildah, "from", "scratch"], check=True, capture_output=True, text=True)
    container = found.stdout.strip()
    _run(*buildah, "copy", "--quiet", container, str(state / "pause"), "/pause")
    _run(*buildah, "config", "--cmd", '["/pause"]', container)
    _run(*buildah, "commit", "--quiet", "--rm", container, f"oci-archive:{state / 'pause.tar'}:{PAUSE}")


def _clean(state: Path) -> None:
    """What outlives the processes: containers, their shims, mounts, the bridge."""
    _run("pkill", "-9", "-f", f"containerd-shim-runc-v2.*-address {state}/", check=False)
    for root in (state / "runc").glob("*"):
        for container in root.iterdir():
            _run("runc", "--root", str(root), "delete", "--force", container.name, check=False)
    _run("ip", "link", "delete", BRIDGE, check=False)
    for family in ("ip", "ip6"):
        _run("nft", "delete", "table", family, "kube-proxy", check=False)
    for folder in ("containerd", "kubelet", "pause-storage"):
        remove_with_mounts(state / folder)


def _run(*command: str, check: bool = True) -> int:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
    return done.returncode
