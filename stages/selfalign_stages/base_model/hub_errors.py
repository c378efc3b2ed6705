"""Maps what huggingface_hub raises to the errors of the contract, naming repository, field and remedy."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable

PRIVATE = "set spec.baseModel.secretRef to a Secret with HF_TOKEN, or HF_TOKEN itself on one machine"


@contextmanager
def mapped(*, repository: str, revision: str) -> Iterator[None]:
    """Runs a block of hub calls with their errors mapped; a full disk is passed on as it is."""
    from httpx import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        raise _answered(error, repository, revision) from error
    except (HTTPError, errors.XetDownloadError) as error:
        raise _unreachable(error, repository) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            raise
        raise _unreachable(error, repository) from error
    except errors.HFValidationError as error:
        raise BadInput(
            f"spec.baseModel.uri 'hf://{repository}': is no ORG/NAME: {error}", reason="BaseModelMissing"
        ) from error


def _answered(error: Exception, repository: str, revision: str) -> StageError:
    """The contract's error for an answer of the hub."""
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = response.status_code if response is not None else 0
    model = f"'hf://{repository}'"
    if isinstance(error, errors.GatedRepoError):
        return AccessDenied(f"spec.baseModel.uri {model}: is gated; accept its terms on the hub, then {PRIVATE}")
    if isinstance(error, errors.RevisionNotFoundError):
        return BadInput(
            f"spec.baseModel.revision {revision!r}: {model} has no such commit; copy one from its history",
            reason="RevisionMissing",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return BadInput(
            f"spec.baseModel.uri {model}: not found by this token; check the name, or if it is private {PRIVATE}",
            reason="BaseModelMissing",
        )
    if status in (401, 403):
        return AccessDenied(f"spec.baseModel.secretRef: the hub refuses this token for {model} ({status})")
    if status in (408, 429) or status >= 500:
        return Unavailable(f"spec.baseModel.uri {model}: the hub answers {status}; try again later")
    return BadInput(f"spec.baseModel.uri {model}: the hub answers {status}: {error}", reason="HubRefused")


def _unreachable(error: Exception, repository: str) -> Unavailable:
    cause = error.__cause__ or error
    return Unavailable(
        f"spec.baseModel.uri 'hf://{repository}': cannot reach the hub ({type(cause).__name__}: {cause}); "
        "try again later, or check HF_ENDPOINT"
    )
