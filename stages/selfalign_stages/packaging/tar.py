"""Writes image layers as uncompressed tar archives whose bytes depend on names and contents alone.

Weights barely compress (bf16 by gzip -6 to 0.80 of its size at 9 MB/s, hours for a large model), so layers are plain
tar. Their digest then is also their diff id (image-spec, "Layer DiffID"). Owner, mode and time are fixed: equal models
give equal layers, which a registry stores once. An archive is written, hashed and sized in one pass.
"""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

FILE_MODE, FOLDER_MODE = 0o644, 0o755  # readable for any user id, since servers run as an arbitrary one
OWNER, MODIFIED = 0, 0


@dataclass(frozen=True)
class Blob:
    """A blob of an image.

    Args:
        path: the file with its bytes.
        digest: "sha256:" and 64 hexadecimal digits.
        size: bytes.
    """

    path: Path
    digest: str
    size: int


class _HashingWriter(io.RawIOBase):
    """Forwards bytes to a sink, and hashes and counts them."""

    def __init__(self, sink: IO[bytes]) -> None:
        self.sink, self.sha, self.size = sink, hashlib.sha256(), 0

    def write(self, data: object) -> int:
        block = cast(bytes, data)
        self.sha.update(block)
        self.size += len(block)
        return self.sink.write(block)

    def writable(self) -> bool:
        return True


def write_layer(files: Sequence[tuple[str, Path]], target: Path) -> Blob:
    """Writes one layer.

    Args:
        files: pairs of the name in the image, without a leading slash, and the file with its content, in the order of
            the archive. Parent folders get entries of their own, before the files.
        target: archive to create.
    """
    with target.open("wb") as sink:
        writer = _HashingWriter(sink)
        # "w|" writes a stream and never seeks, which hashing in one pass depends on; pax allows files above 8 GiB.
        with tarfile.open(fileobj=cast(IO[bytes], writer), mode="w|", format=tarfile.PAX_FORMAT) as archive:
            # Without entries, runtimes create parent folders with a mode of their own choice.
            for folder in sorted({parent for name, _ in files for parent in _parents(name)}):
                archive.addfile(_entry(folder, kind=tarfile.DIRTYPE, mode=FOLDER_MODE))
            for name, path in files:
                with path.open("rb") as source:
                    archive.addfile(_entry(name, size=path.stat().st_size), source)
    return Blob(path=target, digest=f"sha256:{writer.sha.hexdigest()}", size=writer.size)


def _entry(name: str, *, kind: bytes = tarfile.REGTYPE, mode: int = FILE_MODE, size: int = 0) -> tarfile.TarInfo:
    # Never TarInfo.from_file: it would record user names and times of this machine.
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, mode, size
    info.uid = info.gid = OWNER
    info.mtime = MODIFIED
    return info


def _parents(name: str) -> list[str]:
    """Returns the folders above a file, outermost first: "a/b/c" has "a" and "a/b"."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
