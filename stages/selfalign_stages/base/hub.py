"""hf:// base models through huggingface_hub: HF_ENDPOINT and HF_TOKEN as everywhere, always at a pinned commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from selfalign_stages.base.sources import SourceFile
from selfalign_stages.contract.exits import AccessDenied, BadInput, Unavailable


@dataclass(frozen=True)
class HubSource:
    """A model repository at a commit."""

    repository: str
    revision: str

    @classmethod
    def of(cls, repository: str, *, revision: str | None) -> Self:
        """The source; BadInput without a commit, since a branch would change under the run."""
        if not revision:
            raise BadInput(
                f"spec.baseModel.revision: hf://{repository} needs the commit to take (40 hex digits)",
                reason="RevisionNotPinned",
            )
        return cls(repository=repository, revision=revision)

    def listing(self) -> list[SourceFile]:
        """See Source; marks are LFS SHA-256, or Git blob ids for small files."""
        from huggingface_hub import HfApi

        with self._mapped():
            info = HfApi().model_info(self.repository, revision=self.revision, files_metadata=True)
        return sorted((_file(sibling) for sibling in info.siblings or []), key=lambda file: file.path)

    def read(self, path: str) -> bytes:
        """See Source."""
        from huggingface_hub import hf_hub_download

        with self._mapped():
            return Path(hf_hub_download(self.repository, path, revision=self.revision)).read_bytes()

    def fetch(self, path: str, target: Path) -> None:
        """See Source."""
        from huggingface_hub import hf_hub_download

        with self._mapped():
            got = hf_hub_download(self.repository, path, revision=self.revision, local_dir=target.parent / ".hub")
        Path(got).replace(target)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        from huggingface_hub import errors

        name = f"hf://{self.repository} at {self.revision}"
        try:
            yield
        except errors.GatedRepoError as error:
            raise AccessDenied(
                f"spec.baseModel.uri {name}: the model is gated; accept its terms, then set secretRef to your token"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise BadInput(
                f"spec.baseModel.revision: {name}: there is no such commit", reason="RevisionMissing"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise BadInput(
                f"spec.baseModel.uri {name}: not found; check the name, or set secretRef to a token if it is private",
                reason="BaseModelMissing",
            ) from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise AccessDenied(
                    f"spec.baseModel.secretRef: {name}: the hub refuses this token ({status})"
                ) from error
            raise Unavailable(f"{name}: the hub answers {status}; try again later") from error
        except (errors.OfflineModeIsEnabled, OSError) as error:
            raise Unavailable(f"{name}: cannot reach the hub: {error}") from error


def _file(sibling: Any) -> SourceFile:
    mark = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return SourceFile(path=sibling.rfilename, size=sibling.size or 0, mark=mark or "")
