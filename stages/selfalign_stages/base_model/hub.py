"""hf:// base models through huggingface_hub: HF_ENDPOINT and HF_TOKEN as everywhere, always at a pinned commit."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from selfalign_stages.base_model import hub_errors
from selfalign_stages.base_model.settings import setting
from selfalign_stages.base_model.sources import SourceFile, is_sha256
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import sha256_hex

COMMIT = re.compile(r"[0-9a-f]{40}")
QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""What the library reads when it is imported; what the user has set already wins."""


@dataclass(frozen=True)
class HubSource:
    """A model repository at a commit. Small files are kept in memory once they were read."""

    repository: str
    revision: str
    known: dict[str, bytes] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, repository: str, *, revision: str | None) -> Self:
        """The source; BadInput without a commit, since a branch would change under the run."""
        if not COMMIT.fullmatch(revision or ""):
            raise BadInput(
                f"spec.baseModel.revision {revision!r}: hf://{repository} needs the commit to take (40 hex digits)",
                reason="RevisionNotPinned",
            )
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        return cls(repository=repository, revision=str(revision))

    def listing(self) -> list[SourceFile]:
        """See Source; large files are marked by SHA-256, small ones by their Git blob."""
        from huggingface_hub import HfApi

        with self._mapped():
            api = HfApi(endpoint=_endpoint(), token=setting("HF_TOKEN"))
            info = api.model_info(self.repository, revision=self.revision, files_metadata=True)
        return sorted((_file(sibling) for sibling in info.siblings or []), key=lambda file: file.path)

    def identify(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """See Source; all marks are SHA-256, so that a model has the same digest here and in a folder."""
        return [
            file if is_sha256(file.mark) else replace(file, mark=sha256_hex(self.read(file.path))) for file in files
        ]

    def read(self, path: str) -> bytes:
        """See Source."""
        if path not in self.known:
            with tempfile.TemporaryDirectory(prefix="selfalign-") as folder:
                self.known[path] = self._download(path, Path(folder)).read_bytes()
        return self.known[path]

    def fetch(self, path: str, target: Path) -> None:
        """See Source."""
        if path in self.known:
            target.write_bytes(self.known[path])
        else:
            self._download(path, target.parent / "hub").replace(target)

    def _download(self, path: str, folder: Path) -> Path:
        from huggingface_hub import hf_hub_download

        with self._mapped():
            got = hf_hub_download(
                self.repository,
                path,
                revision=self.revision,
                local_dir=folder,
                endpoint=_endpoint(),
                token=setting("HF_TOKEN"),
            )
        return Path(got)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        with hub_errors.mapped(repository=self.repository, revision=self.revision):
            yield


def _endpoint() -> str | None:
    """Read here, since the library reads it only once, when it is imported."""
    return setting("HF_ENDPOINT")


def _file(sibling: Any) -> SourceFile:
    mark = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return SourceFile(path=sibling.rfilename, size=sibling.size or 0, mark=mark or "")
