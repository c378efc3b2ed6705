"""file:// stores: create-once by hard link, so that a kill at any moment leaves no torn object to be seen."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.step.store import ObjectInfo

TEMPORARY = ".tmp-"


class FileStore:
    """Objects as files below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        return self._path(name).open("rb")

    def put(self, name: str, data: bytes) -> bool:
        """See Store."""
        return self._create(name, lambda path: path.write_bytes(data))

    def put_file(self, name: str, path: Path) -> bool:
        """See Store."""
        return self._create(name, lambda temporary: shutil.copyfile(path, temporary))

    def replace(self, name: str, data: bytes) -> None:
        """See Store."""
        temporary = self._written(name, lambda path: path.write_bytes(data))
        os.replace(temporary, self._path(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        folder = self._path(prefix) if prefix.endswith("/") or not prefix else self._path(prefix).parent
        found = []
        for parent, _, names in os.walk(folder):
            for file in names:
                path = Path(parent, file)
                name = path.relative_to(self.root).as_posix()
                if name.startswith(prefix) and not file.startswith(TEMPORARY):
                    found.append(ObjectInfo(name=name, size=path.stat().st_size))
        yield from sorted(found, key=lambda info: info.name)

    def delete(self, name: str) -> None:
        """See Store."""
        self._path(name).unlink(missing_ok=True)

    def probe(self) -> None:
        """Raises what a real write would raise."""
        self.replace(f"{TEMPORARY}probe", b"probe")
        self.delete(f"{TEMPORARY}probe")

    def _path(self, name: str) -> Path:
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BadInput(f"object name {name!r}: leaves the store's root {self.root}", reason="PathEscapes")
        return self.root / name

    def _written(self, name: str, write: Callable[[Path], object]) -> Path:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        return temporary

    def _create(self, name: str, write: Callable[[Path], object]) -> bool:
        path = self._path(name)
        if path.exists():
            return False
        temporary = self._written(name, write)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True
