"""The operator as a process of its own, so that it can be killed."""

import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.control_plane import Cluster
from tests.s3_server import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class OperatorProcess:
    """Starts, kills and ends one operator after the other; all write one log."""

    cluster: Cluster
    namespace: str
    identity: str = "operator-0"
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    port: int = field(default_factory=free_port)

    @property
    def log(self) -> Path:
        """What all of them said."""
        return self.cluster.state / f"operator-{self.namespace}.log"

    def start(self) -> None:
        """Begins one that sees only its namespace."""
        given = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "stages")),
            "SELFALIGN_NAMESPACES": self.namespace,
            "SELFALIGN_NAMESPACE": self.namespace,
            "SELFALIGN_IDENTITY": self.identity,
            "SELFALIGN_HEALTH_PORT": str(self.port),
            **{f"SELFALIGN_IMAGE_{name}": f"local.test/{name.lower()}:1" for name in ("CPU", "GENERATE", "TRAIN")},
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "selfalign_operator.cluster.main"],
                env=os.environ | given | self.environment,
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str) -> str:
        """What it answers on its port."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def kill(self) -> None:
        """Without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As a rollout ends it, which is no failure; one that has only begun knows no signals yet."""
        assert self._end(signal.SIGTERM) in (0, -signal.SIGTERM, None), self.log.read_text()[-4000:]

    def _end(self, number: int) -> int | None:
        """The exit code; None if none was running."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(number)
        return process.wait(30)
