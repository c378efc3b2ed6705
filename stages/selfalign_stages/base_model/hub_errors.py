"""Maps errors of huggingface_hub to StageErrors that name repository, field and remedy.

The class of a StageError decides whether a step is retried, so the distinction matters: a missing model, a missing
commit and a rejected token are final; throttling, outages and broken connections are retried. huggingface_hub reports
all of them as HTTP errors, and the hub reports a private model that the token may not read as missing.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from selfalign_stages.base_model.quoting import shown
from selfalign_stages.contract import expiry
from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable

TOKEN_REMEDY = "set spec.baseModel.secretRef to a Secret with HF_TOKEN, or HF_TOKEN itself on one machine"
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


@contextmanager
def mapped(*, repository: str, revision: str) -> Iterator[None]:
    """Maps the errors of Hub calls made within the block.

    Raises:
        BadInput: the repository's name is malformed, or repository, commit or file is missing.
        AccessDenied: the model is gated, or the token is rejected.
        Unavailable: the token has expired, or the hub is throttled, down or unreachable, or what answers is no hub.
        OSError: unchanged, where this machine's disk is full, read-only or not writable.
    """
    from httpx import HTTPError
    from huggingface_hub import errors

    from selfalign_stages.base_model.hub_client import HubSilent

    try:
        yield
    except StageError:
        raise
    except HubSilent as error:
        raise _unreachable(str(error), repository) from error
    except Exception as error:
        # The library wraps what happened; the wrapped error decides.
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        response_error = next((one for one in (error, cause) if isinstance(one, errors.HfHubHTTPError)), None)
        if response_error is not None:
            raise _from_response(response_error, repository, revision) from error
        if isinstance(error, errors.HFValidationError):
            raise BadInput(
                f"spec.baseModel.uri {_model(repository)}: is not of the form ORG/NAME: {shown(str(error))}",
                reason="BaseModelMissing",
            ) from error
        if isinstance(cause, errors.FileMetadataError):
            raise no_hub(repository, "its answer lacks the headers X-Repo-Commit or ETag") from error
        # The library raises OSError both for connections and for files; only the latter is this machine's fault.
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise
        if isinstance(error, HTTPError | OSError | errors.XetDownloadError):
            text = f"{type(cause).__name__} {shown(str(cause), longest=300)}"
            raise _unreachable(f"the transfer broke off: {text}", repository) from error
        # Anything else comes from parsing what was answered.
        raise no_hub(repository, f"its answer cannot be used ({type(error).__name__}: {shown(str(error))})") from error


def no_hub(repository: str, problem: str) -> Unavailable:
    """The error of an answer that no hub gives: a login page, a captive portal, a proxy's message, another server.

    It is retried: a network's login may follow, and an HF_ENDPOINT that is wrong costs a few attempts.
    """
    from selfalign_stages.base_model import hub_client

    return Unavailable(
        f"spec.baseModel.uri {_model(repository)}: {hub_client.endpoint()} does not answer as a hub does: {problem}; "
        "a login page or a proxy may stand in its way: check the network and HF_ENDPOINT",
        reason="NotAHub",
    )


def _from_response(error: Exception, repository: str, revision: str) -> StageError:
    """Returns the StageError for an HTTP error status of the hub.

    The order matters: GatedRepoError is a subclass of RepositoryNotFoundError, and both of them of HfHubHTTPError.
    """
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = response.status_code if response is not None else 0
    model = _model(repository)
    # First: the hub answers 401 for a token that has expired, which the library takes for a missing repository.
    headers = response.headers if response is not None else {}
    if status in (401, 403) and expiry.says_expired(f"{headers.get('X-Error-Message', '')} {error}"):
        return Unavailable(
            f"spec.baseModel.secretRef: the token for {model} has expired (HTTP {status}): put a new HF_TOKEN into the "
            "Secret, and the next attempt uses it",
            reason=expiry.REASON,
        )
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
    answer = shown(str(error), longest=300)
    return BadInput(f"spec.baseModel.uri {model}: the hub answers HTTP {status}: {answer}", reason="HubRefused")


def _unreachable(problem: str, repository: str) -> Unavailable:
    return Unavailable(
        f"spec.baseModel.uri {_model(repository)}: {problem}; check the network, proxy variables and HF_ENDPOINT, and "
        "SSL_CERT_FILE for a certificate authority of your own; it is retried"
    )


def _model(repository: str) -> str:
    return f"'hf://{shown(repository)}'"
