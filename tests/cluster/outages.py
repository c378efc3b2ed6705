"""An outage of the API server: its process is killed, and started again on the same etcd."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.control_plane import Cluster, wait_for
from tests.tools import ENDS_WITH_US


@contextmanager
def api_server_stopped(cluster: Cluster) -> Iterator[None]:
    """The API server is gone within the block, and serves again after it."""
    (server,) = [one for one in cluster.processes if f"--secure-port={cluster.port}" in _arguments(one.args)]
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    place = cluster.processes.index(server)
    del cluster.processes[place]
    try:
        yield
    finally:
        cluster.start("apiserver", *_arguments(server.args)[len(ENDS_WITH_US) :])
        cluster.processes.insert(place, cluster.processes.pop())  # the order in which they are ended
        wait_for("the API server is back", lambda: "ok" in cluster.kubectl("get", "--raw", "/readyz", check=False))


def _arguments(arguments: object) -> list[str]:
    assert isinstance(arguments, list)
    return [str(argument) for argument in arguments]
