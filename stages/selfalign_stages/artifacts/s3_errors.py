"""Maps what boto3 raises to the errors of the contract, naming bucket, key and remedy.

boto3 reports almost everything as one ClientError with the server's code, and whether a retry can help depends on that
code. Servers other than AWS do not always send a code, so that the HTTP status decides where it is missing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# Error codes by what they mean for a step (S3 API reference, "Error responses"). HEAD requests have no body: there the
# client reports the HTTP status as the code.
DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}
UNSUPPORTED = {"NotImplemented", "501"}
THROTTLED = {"SlowDown", "RequestTimeout", "Throttling", "RequestTimeTooSkewed"}


def code(error: "ClientError") -> str:
    """The server's error code, such as NoSuchKey; "" if it sent none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: "ClientError") -> int:
    """The HTTP status; 0 if the response has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def precondition_failed(error: "ClientError") -> bool:
    """Whether a conditional write was refused because the object exists (412 Precondition Failed)."""
    return status(error) == 412


def conflict(error: "ClientError") -> bool:
    """Whether a conditional write collided with another one in flight; S3 asks clients to repeat it (409 Conflict)."""
    return status(error) == 409


def translate(error: "ClientError", *, bucket: str, key: str, endpoint: str) -> Exception:
    """Chooses the error of the contract for an error response.

    Args:
        error: what boto3 raised.
        bucket: bucket of the request.
        key: key or prefix of the request.
        endpoint: the server, for messages: a URL, or "AWS".

    Returns:
        An exception to raise: FileNotFoundError for a missing object, else a StageError. A code without a meaning of
        its own becomes a plain StageError, a crash that is retried and counted.
    """
    place = f"s3://{bucket}/{key} at {endpoint}"
    name, number = code(error), status(error)
    if name == "NoSuchBucket":
        return BadInput(f"spec.artifacts.uri: there is no bucket {bucket!r} at {endpoint}; create it", reason=name)
    # After NoSuchBucket, which is a 404 as well.
    if name in ("NoSuchKey", "404") or number == 404:
        return FileNotFoundError(place)
    if name in DENIED or number in (401, 403):
        return AccessDenied(f"{place}: {name}; check the credentials of spec.artifacts.secretRef and their permissions")
    if name in UNSUPPORTED or number == 501:
        return BadInput(f"{place}: the server does not support this request ({name})", reason="StoreUnsupported")
    if number >= 500 or name in THROTTLED:
        return Unavailable(f"{place}: {name or number} after retries; run again when the server answers")
    return StageError(f"{place}: {error}")


@contextmanager
def mapped(*, bucket: str, key: str, endpoint: str) -> Iterator[None]:
    """Maps the errors of the boto3 calls in its block.

    Args:
        bucket: bucket of the requests.
        key: key or prefix of the requests.
        endpoint: the server, for messages.

    Raises:
        FileNotFoundError: there is no such object.
        AccessDenied: no credentials, or the server refuses them.
        BadInput: no such bucket, or the server lacks the requested feature.
        Unavailable: the server is down, unreachable or throttles.
        StageError: any other error response.
    """
    # botocore takes long to import, and file:// stores never need it.
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as error:
        raise translate(error, bucket=bucket, key=key, endpoint=endpoint) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise AccessDenied(
            f"s3://{bucket}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "or name a Secret in spec.artifacts.secretRef"
        ) from error
    # The rest of botocore's errors are those of the network: no connection, timeout, TLS, no region.
    except BotoCoreError as error:
        raise Unavailable(
            f"cannot reach s3://{bucket}/{key} at {endpoint}: {error}; check the endpoint and the network"
        ) from error
