"""Reads hf:// repositories from a Hugging Face Hub at a pinned commit, through huggingface_hub.

A branch or tag may move between preflight and import, or between two runs: equal manifests would then train different
models. Hence only a full commit id is accepted. HF_ENDPOINT (a mirror) and HF_TOKEN (private and gated models) have
their usual meaning, and are read anew for every file.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from selfalign_stages.base_model import hub_errors, hub_listing, space, verifying
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import UNKNOWN_SIZE, SourceFile, is_sha256
from selfalign_stages.contract import rules
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.model import sha256_hex

LIBRARY_DEFAULTS = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Variables that huggingface_hub reads when it is imported; values that the user has set take precedence."""
LARGEST_LISTING = 64 << 20
"""Bytes. The listing of 10,000 files has 3 MiB; what is longer is no listing."""
KEPT_BYTES = 8 << 20
"""Files up to this size stay in memory, so that preflight's checks, the ids and the import request each once."""


@dataclass(frozen=True)
class HubSource:
    """A repository at one commit: a base model, or a data set with rows of one's own.

    Args:
        repository: ORG/NAME.
        commit: full commit id.
        kind: what the hub has it as.
        listed: the files by path, since the last listing.
        small_files: contents of the small files read so far.
        fetched: files that were downloaded before; a second download bypasses the user's cache.
    """

    repository: str
    commit: str
    kind: Literal["model", "dataset"] = "model"
    listed: dict[str, SourceFile] = field(default_factory=dict, compare=False)
    small_files: dict[str, bytes] = field(default_factory=dict, compare=False)
    fetched: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def at_commit(cls, repository: str, *, commit: str | None, kind: Literal["model", "dataset"] = "model") -> Self:
        """Opens a repository, and sets up huggingface_hub for this process.

        Raises:
            BadInput: `commit` is None, a branch, a tag or an abbreviated commit id.
        """
        if not rules.is_commit(commit):
            raise BadInput(
                f"spec.baseModel.revision {commit!r} of hf://{repository}: {rules.NEEDS_COMMIT}; copy one from its "
                "history",
                reason="RevisionNotPinned",
            )
        for name, value in LIBRARY_DEFAULTS.items():
            os.environ.setdefault(name, value)
        from selfalign_stages.base_model import hub_client

        hub_client.install()
        return cls(repository=repository, commit=str(commit), kind=kind)

    @property
    def name(self) -> str:
        """What follows hf:// in the address of the repository."""
        return f"datasets/{self.repository}" if self.kind == "dataset" else self.repository

    def list_files(self) -> list[SourceFile]:
        """Lists all files by one request: large ones with their SHA-256 (Git LFS), small ones with their Git blob id.

        Raises:
            BadInput: the repository or the commit does not exist.
            AccessDenied: the model is gated, or the token is rejected.
            Unavailable: the hub is throttled, down or unreachable, or something else answers in its place.
        """
        with self._mapped():
            answer = self._get_listing()
        try:
            files = hub_listing.parse(answer, commit=self.commit)
        except ValueError as error:
            raise hub_errors.no_hub(self.name, f"its listing of the files: {shown(str(error))}") from error
        self.listed.clear()
        self.listed.update({file.path: file for file in files})
        return files

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` with SHA-256 ids, so that a model has the same digest here and in a folder.

        Small files are read for it; large ones have a SHA-256 in the listing or, where a mirror leaves it out, in the
        headers of the file. Only where both lack it are they downloaded, hashed from disk and removed.
        """
        return [self._identified(file) for file in files]

    def read(self, path: str) -> bytes:
        """Returns the content of a small file, compared with its listed size and id, and keeps it in memory."""
        if path not in self.small_files:
            with tempfile.TemporaryDirectory(prefix="selfalign-") as folder:
                target = Path(folder) / "file"
                verifying.fetch(self.fetch, self._listed(path), target)
                self.small_files[path] = target.read_bytes()
        return self.small_files[path]

    def start(self, path: str, length: int) -> bytes:
        """Returns the first bytes of a file, from a server that knows ranges or from one that sends all of it."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        from selfalign_stages.base_model import hub_client

        url = hf_hub_url(
            self.repository, path, repo_type=self.kind, revision=self.commit, endpoint=hub_client.endpoint()
        )
        headers = build_hf_headers(token=hub_client.token()) | {"Range": f"bytes=0-{length - 1}"}
        data = b""
        with (
            self._mapped(),
            get_session().stream("GET", url, headers=headers, timeout=hub_client.ANSWER_SECONDS) as response,
        ):
            hf_raise_for_status(response)
            for block in response.iter_bytes():
                data += block
                if len(data) >= length:
                    break
        return data[:length]

    def fetch(self, path: str, target: Path) -> None:
        """Downloads a file to `target`; the library resumes a transfer that breaks off."""
        if path in self.small_files:
            target.write_bytes(self.small_files[path])
        else:
            # On the same file system as `target`, so that replacing it is a rename and not a second copy.
            self._download(path, target.parent / "hub").replace(target)

    def _identified(self, file: SourceFile) -> SourceFile:
        if is_sha256(file.content_id) and file.size != UNKNOWN_SIZE:
            return file
        if (file.size == UNKNOWN_SIZE or not file.content_id) and file.path not in self.small_files:
            file = self._with_headers(file)
        if is_sha256(file.content_id) and file.size != UNKNOWN_SIZE:
            return file
        if file.path in self.small_files or UNKNOWN_SIZE < file.size <= KEPT_BYTES:
            data = self.read(file.path)
            return replace(file, size=len(data), content_id=sha256_hex(data))
        with tempfile.TemporaryDirectory(prefix="selfalign-") as folder:
            space.require([Path(folder)], file.size, path=file.path)
            content = verifying.fetch(self.fetch, file, Path(folder) / "file")
        return replace(file, size=content.size, content_id=content.sha256)

    def _listed(self, path: str) -> SourceFile:
        return self.listed.get(path, SourceFile(path, UNKNOWN_SIZE))

    def _with_headers(self, file: SourceFile) -> SourceFile:
        """Fills in what the listing lacks from the headers of the file's own address."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        from selfalign_stages.base_model import hub_client

        with self._mapped():
            hub = hub_client.endpoint()
            headers = get_hf_file_metadata(
                hf_hub_url(self.repository, file.path, repo_type=self.kind, revision=self.commit, endpoint=hub),
                token=hub_client.token(),
                timeout=hub_client.ANSWER_SECONDS,
                endpoint=hub,
            )
        size = headers.size if file.size == UNKNOWN_SIZE and (headers.size or -1) >= 0 else file.size
        etag = str(headers.etag or "").lower()
        return replace(file, size=size, content_id=etag if is_sha256(etag) else file.content_id)

    def _get_listing(self) -> bytes:
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, validate_repo_id

        from selfalign_stages.base_model import hub_client

        validate_repo_id(self.repository)
        url = f"{hub_client.endpoint()}/api/{self.kind}s/{self.repository}/revision/{self.commit}"
        headers = build_hf_headers(token=hub_client.token())
        answer = b""
        with get_session().stream(
            "GET", url, params={"blobs": True}, headers=headers, timeout=hub_client.ANSWER_SECONDS
        ) as response:
            hf_raise_for_status(response)
            for block in response.iter_bytes():
                answer += block
                if len(answer) > LARGEST_LISTING:
                    raise hub_errors.no_hub(self.name, f"its listing has more than {LARGEST_LISTING >> 20} MiB")
        return answer

    def _download(self, path: str, folder: Path) -> Path:
        from huggingface_hub import hf_hub_download

        from selfalign_stages.base_model import hub_client

        again = path in self.fetched
        self.fetched.add(path)
        with self._mapped():
            downloaded = hf_hub_download(
                self.repository,
                path,
                repo_type=self.kind,
                revision=self.commit,
                local_dir=folder,
                endpoint=hub_client.endpoint(),
                token=hub_client.token(),
                etag_timeout=hub_client.ANSWER_SECONDS,
                # Other bytes than listed may come from the cache on the user's disk, which the library prefers.
                force_download=again,
            )
        return Path(downloaded)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        with hub_errors.mapped(repository=self.name, revision=self.commit):
            yield
