"""One file as one uncompressed tar layer, streamed: one read, one SHA-256, one write, and the same bytes every time.

Weights barely compress (bf16 by gzip -6 to 0.80 at 9 MB/s), so layers are plain tar and their digest is the diff id.
"""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

MODE, OWNER, MODIFIED = 0o644, 0, 0


@dataclass(frozen=True)
class Blob:
    """A blob of an image layout, lying at `path`."""

    path: Path
    digest: str
    size: int


class _HashingWriter(io.RawIOBase):
    """Passes bytes on and hashes them."""

    def __init__(self, sink: IO[bytes]) -> None:
        self.sink, self.sha, self.size = sink, hashlib.sha256(), 0

    def write(self, data: object) -> int:
        block = cast(bytes, data)
        self.sha.update(block)
        self.size += len(block)
        return self.sink.write(block)

    def writable(self) -> bool:
        return True


def layer(files: Sequence[tuple[str, Path]], target: Path) -> Blob:
    """A layer of (name in the image, file) pairs, parent folders included; owner, mode and time are fixed."""
    with target.open("wb") as sink:
        writer = _HashingWriter(sink)
        with tarfile.open(fileobj=cast(IO[bytes], writer), mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for folder in sorted({parent for name, _ in files for parent in _parents(name)}):
                archive.addfile(_entry(folder, kind=tarfile.DIRTYPE, mode=0o755))
            for name, path in files:
                with path.open("rb") as source:
                    archive.addfile(_entry(name, size=path.stat().st_size), source)
    return Blob(path=target, digest=f"sha256:{writer.sha.hexdigest()}", size=writer.size)


def _entry(name: str, *, kind: bytes = tarfile.REGTYPE, mode: int = MODE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, mode, size
    info.uid = info.gid = OWNER
    info.mtime = MODIFIED
    return info


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
