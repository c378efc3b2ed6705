"""Reads hf:// base models from a Hugging Face Hub at a pinned commit, through huggingface_hub.

A branch or tag may move between preflight and import, or between two runs: equal manifests would then train different
models. Hence only a full commit id is accepted. HF_ENDPOINT (a mirror) and HF_TOKEN (private and gated models) have
their usual meaning.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from selfalign_stages.base_model import hub_errors
from selfalign_stages.base_model.settings import setting
from selfalign_stages.base_model.sources import SourceFile, is_sha256
from selfalign_stages.contract import rules
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import sha256_hex

LIBRARY_DEFAULTS = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Variables that huggingface_hub reads when it is imported; values that the user has set take precedence."""


@dataclass(frozen=True)
class HubSource:
    """A model repository at one commit.

    Args:
        repository: ORG/NAME.
        commit: full commit id.
        small_files: contents of the small files read so far, so that preflight's checks, the content ids and the
            import request each of them once.
    """

    repository: str
    commit: str
    small_files: dict[str, bytes] = field(default_factory=dict, compare=False)

    @classmethod
    def at_commit(cls, repository: str, *, commit: str | None) -> Self:
        """Opens a repository, and sets LIBRARY_DEFAULTS for the first import of huggingface_hub.

        Raises:
            BadInput: `commit` is None, a branch, a tag or an abbreviated commit id.
        """
        if not rules.is_commit(commit):
            raise BadInput(
                f"spec.baseModel.revision {commit!r} of hf://{repository}: {rules.NEEDS_COMMIT}; copy one from the "
                "model's history",
                reason="RevisionNotPinned",
            )
        for name, value in LIBRARY_DEFAULTS.items():
            os.environ.setdefault(name, value)
        return cls(repository=repository, commit=str(commit))

    def list_files(self) -> list[SourceFile]:
        """Lists all files by one request: large ones with their SHA-256 (Git LFS), small ones with their Git blob id.

        Raises:
            BadInput: the repository or the commit does not exist.
            AccessDenied: the model is gated, or the token is rejected.
            Unavailable: the hub is throttled, down or unreachable.
        """
        from huggingface_hub import HfApi

        with self._mapped():
            api = HfApi(endpoint=_endpoint(), token=setting("HF_TOKEN"))
            info = api.model_info(self.repository, revision=self.commit, files_metadata=True)
        return sorted((_source_file(sibling) for sibling in info.siblings or []), key=lambda file: file.path)

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` with SHA-256 ids, so that a model has the same digest here and in a folder.

        Files with a Git blob id are small and are read for it; large ones have a SHA-256 in the listing.
        """
        return [
            file if is_sha256(file.content_id) else replace(file, content_id=sha256_hex(self.read(file.path)))
            for file in files
        ]

    def read(self, path: str) -> bytes:
        """Returns the content of a small file and keeps it in memory."""
        if path not in self.small_files:
            with tempfile.TemporaryDirectory(prefix="selfalign-") as folder:
                self.small_files[path] = self._download(path, Path(folder)).read_bytes()
        return self.small_files[path]

    def fetch(self, path: str, target: Path) -> None:
        """Downloads a file to `target`.

        The library downloads into a folder beside `target` first, where it resumes a transfer that breaks off.
        """
        if path in self.small_files:
            target.write_bytes(self.small_files[path])
        else:
            # On the same file system as `target`, so that replacing it is a rename and not a second copy.
            self._download(path, target.parent / "hub").replace(target)

    def _download(self, path: str, folder: Path) -> Path:
        from huggingface_hub import hf_hub_download

        with self._mapped():
            downloaded = hf_hub_download(
                self.repository,
                path,
                revision=self.commit,
                local_dir=folder,
                endpoint=_endpoint(),
                token=setting("HF_TOKEN"),
            )
        return Path(downloaded)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        with hub_errors.mapped(repository=self.repository, revision=self.commit):
            yield


def _endpoint() -> str | None:
    """Returns HF_ENDPOINT, passed explicitly because the library reads it only once, when it is imported."""
    return setting("HF_ENDPOINT")


def _source_file(sibling: Any) -> SourceFile:
    # The blob id of a large file would be that of its Git LFS pointer.
    content_id = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return SourceFile(path=sibling.rfilename, size=sibling.size or 0, content_id=content_id or "")
