"""A real OCI registry (distribution) over a temporary folder, open or behind a password."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.s3_server import free_port
from tests.tools import ENDS_WITH_US, go_tool, wait_for_answer

MODULE, VERSION = "github.com/distribution/distribution/v3/cmd/registry", "v3.0.0"
USER, PASSWORD = "pusher", "selfalign-tests"
HTPASSWD = "pusher:$2b$05$abcdefghijklmnopqrstuu4Ihn4LMjLvxmrr1h9zCV.8jSf49QYY2\n"
"""bcrypt of PASSWORD, as htpasswd -B writes it."""


@dataclass(frozen=True)
class Server:
    """Where it answers: HOST:PORT, over plain HTTP."""

    host: str
    root: Path


@contextmanager
def serve(root: Path, *, host: str = "127.0.0.1", password: bool = False) -> Iterator[Server]:
    """Runs the registry until the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    address = f"{host}:{free_port()}"
    config = f"version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {root}}}\nhttp: {{addr: '{address}'}}\n"
    if password:
        (root.parent / "htpasswd").write_text(HTPASSWD)
        config += f"auth:\n  htpasswd: {{realm: tests, path: {root.parent / 'htpasswd'}}}\n"
    (root.parent / "registry.yaml").write_text(config)
    with (root.parent / "registry.log").open("w") as log:
        command = [str(go_tool(MODULE, VERSION)), "serve", str(root.parent / "registry.yaml")]
        process = subprocess.Popen([*ENDS_WITH_US, *command], stdout=log, stderr=log)
        try:
            wait_for_answer(f"http://{address}/v2/", process)
            yield Server(host=address, root=root)
        finally:
            process.terminate()
            process.wait(10)
