"""A real S3 server (versitygw) over a temporary folder."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tools import ENDS_WITH_US, go_tool, wait_for_answer

MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
ACCESS, SECRET = "selfalign-tests", "selfalign-tests-secret"


@dataclass(frozen=True)
class Server:
    """Where it answers and where its buckets lie."""

    endpoint: str
    root: Path

    def make_bucket(self, name: str, *, region: str = "us-east-1") -> str:
        """Creates a bucket; its name."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
        )
        client.create_bucket(Bucket=name)
        return name


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(root: Path, *, host: str = "127.0.0.1", options: tuple[str, ...] = ()) -> Iterator[Server]:
    """Runs the server until the block ends, with further options of versitygw."""
    root.mkdir(parents=True, exist_ok=True)
    address = f"{host}:{free_port()}"
    command = [str(go_tool(MODULE, VERSION)), "--port", address, "--access", ACCESS, "--secret", SECRET, *options]
    with (root.parent / "versitygw.log").open("w") as log:
        process = subprocess.Popen(
            [*ENDS_WITH_US, *command, "posix", str(root)], stdout=log, stderr=log, env=dict(os.environ)
        )
        try:
            wait_for_answer(f"http://{address}", process)
            yield Server(endpoint=f"http://{address}", root=root)
        finally:
            process.terminate()
            process.wait(10)
