"""Maps errors of huggingface_hub to StageErrors that name repository, field and remedy.

The class of a StageError decides whether a step is retried, so the distinction matters: a missing model, a missing
commit and a rejected token are final; throttling, outages and broken connections are retried. huggingface_hub reports
all of them as HTTP errors, and the hub reports a private model that the token may not read as missing.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable

TOKEN_REMEDY = "set spec.baseModel.secretRef to a Secret with HF_TOKEN, or HF_TOKEN itself on one machine"


@contextmanager
def mapped(*, repository: str, revision: str) -> Iterator[None]:
    """Maps the errors of Hub calls made within the block.

    Raises:
        BadInput: the repository's name is malformed, or repository, commit or file is missing.
        AccessDenied: the model is gated, or the token is rejected.
        Unavailable: the hub is throttled, down or unreachable.
        OSError: unchanged, where this machine's disk is full, read-only or not writable.
    """
    from httpx import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        raise _from_response(error, repository, revision) from error
    except (HTTPError, errors.XetDownloadError) as error:
        raise _unreachable(error, repository) from error
    except OSError as error:
        # The library raises OSError both for connections and for files; only the latter is this machine's fault.
        if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            raise
        raise _unreachable(error, repository) from error
    except errors.HFValidationError as error:
        raise BadInput(
            f"spec.baseModel.uri 'hf://{repository}': is not of the form ORG/NAME: {error}", reason="BaseModelMissing"
        ) from error


def _from_response(error: Exception, repository: str, revision: str) -> StageError:
    """Returns the StageError for an HTTP error status of the hub.

    The order matters: GatedRepoError is a subclass of RepositoryNotFoundError, and both of them of HfHubHTTPError.
    """
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = response.status_code if response is not None else 0
    model = f"'hf://{repository}'"
    if isinstance(error, errors.GatedRepoError):
        return AccessDenied(f"spec.baseModel.uri {model}: is gated; accept its terms on the hub, then {TOKEN_REMEDY}")
    if isinstance(error, errors.RevisionNotFoundError):
        return BadInput(
            f"spec.baseModel.revision {revision!r}: {model} has no such commit; copy one from its history",
            reason="RevisionMissing",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return BadInput(
            f"spec.baseModel.uri {model}: does not exist or is private; check the name, or {TOKEN_REMEDY}",
            reason="BaseModelMissing",
        )
    if status in (401, 403):
        return AccessDenied(f"spec.baseModel.secretRef: the hub rejects this token for {model} (HTTP {status})")
    # Request Timeout and Too Many Requests; 5xx is the hub's own fault.
    if status in (408, 429) or status >= 500:
        return Unavailable(f"spec.baseModel.uri {model}: the hub answers HTTP {status}; retry when it has recovered")
    return BadInput(f"spec.baseModel.uri {model}: the hub answers HTTP {status}: {error}", reason="HubRefused")


def _unreachable(error: Exception, repository: str) -> Unavailable:
    # The library wraps connection errors; the wrapped one names the reason.
    cause = error.__cause__ or error
    return Unavailable(
        f"spec.baseModel.uri 'hf://{repository}': cannot reach the hub ({type(cause).__name__}: {cause}); "
        "check the network and HF_ENDPOINT, then retry"
    )
