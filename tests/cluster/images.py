"""The project's container images, built from its own Dockerfiles by buildah, on a base made of the machine's packages.

What was built stays in the user's cache folder until a lock changes, and the registry over it: a second run builds and
pushes only what changed.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import registry_server
from tests.cluster.mounts import remove_with_mounts

ROOT = Path(__file__).parents[2]
CACHE = Path.home() / ".cache" / "selfalign" / "images"
BASE = "local.test/base:1"
PACKAGES = "python3,python3-venv,ca-certificates"
FOLDER = "selfalign"
"""Before the names of all images in the registry."""
TAG = "tests"
TARGETS = {"stage-cpu": "cpu", "stage-train": "train", "stage-generate": "generate", "server": "serve"}
UNITS = {"MB": 1.0, "GB": 1000.0}
CONFIGURATION = {
    "pip.conf": "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n",
    "uv/uv.toml": "system-certs = true\n",
}
"""The build trusts the certificates that this machine trusts."""


@dataclass(frozen=True)
class Inspected:
    """Size of all layers, uncompressed, and who the image runs as."""

    megabytes: float
    user: str


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own."""

    folder: Path

    def run(self, *arguments: str) -> str:
        """What buildah prints; its errors in an assertion."""
        storage = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        done = subprocess.run(["buildah", *storage, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {' '.join(arguments)}: {(done.stdout + done.stderr)[-4000:]}"
        return done.stdout.strip()

    def build(self, *arguments: str) -> None:
        """Builds with the machine's certificates and the user's cache of wheels."""
        wheels = Path.home() / ".cache" / "uv"
        wheels.mkdir(parents=True, exist_ok=True)
        volumes = [
            "/etc/ssl/certs:/etc/ssl/certs:ro",
            f"{self.folder / 'pip.conf'}:/etc/pip.conf:ro",
            f"{self.folder / 'uv'}:/etc/uv:ro",
            f"{wheels}:/build/wheels",
        ]
        given = [part for volume in volumes for part in ("--volume", volume)]
        self.run("bud", "--isolation", "chroot", "--layers", "--build-arg", f"BASE={BASE}", *given, *arguments, ".")

    def push(self, name: str, registry: str) -> None:
        """Sends an image; layers that the registry has are not sent again, and none is compressed for the loopback."""
        form = ["--format", "oci", "--disable-compression"]
        target = f"docker://{registry}/{FOLDER}/{name}:{TAG}"
        self.run("push", "--quiet", "--tls-verify=false", *form, f"local.test/{name}:{TAG}", target)

    def inspect(self, name: str) -> Inspected:
        """An image as it is stored; the base has the name `base`."""
        reference = BASE if name == "base" else f"local.test/{name}:{TAG}"
        (listed,) = json.loads(self.run("images", "--json", reference))
        config = json.loads(self.run("inspect", "--type", "image", reference))["OCIv1"]["config"]
        number, unit = listed["size"].split()
        return Inspected(megabytes=float(number) * UNITS[unit], user=config.get("User", ""))


@contextmanager
def registry_with_images(host: str) -> Iterator[registry_server.Server]:
    """A registry that has the operator's image, the stages' and the server's."""
    for program in ("buildah", "mmdebstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} to build container images")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builder = Builder(built())
        _base(builder)
        builder.build("--tag", f"local.test/operator:{TAG}")
        for name, target in TARGETS.items():
            wanted = ["--target", target, "--build-arg", "ENGINE=generate-cpu", "--tag", f"local.test/{name}:{TAG}"]
            builder.build("--file", "images/Dockerfile", *wanted)
        with registry_server.serve(builder.folder / "registry" / "data", host=host) as registry:
            for name in ("operator", *TARGETS):
                builder.push(name, registry.host)
            yield registry


def built() -> Path:
    """The folder of what is built, one per state of the locks; older ones go, for they are large."""
    named = [*sorted((ROOT / "images" / "locks").iterdir()), ROOT / "images" / "install.sh"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in named)).hexdigest()[:16]
    for old in CACHE.iterdir():
        if old.is_dir() and old.name != digest:
            remove_with_mounts(old)
    folder = CACHE / digest
    for name, text in CONFIGURATION.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _base(builder: Builder) -> None:
    """A minimal Debian with Python, from the machine's own package sources."""
    if BASE in builder.run("images", "--format", "{{.Name}}:{{.Tag}}"):
        return
    archive = builder.folder / "base.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    container = builder.run("from", "scratch")
    builder.run("add", "--quiet", container, str(archive), "/")
    builder.run("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    builder.run("commit", "--quiet", "--rm", container, BASE)
    archive.unlink()
