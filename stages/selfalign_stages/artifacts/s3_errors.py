"""Maps what boto3 raises to the errors of the contract, naming bucket, key and remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}
UNSUPPORTED = {"NotImplemented", "501"}


def code(error: "ClientError") -> str:
    """The server's error code, or its HTTP status where it gives no code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: "ClientError") -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def already_there(error: "ClientError") -> bool:
    """Whether a conditional write was refused because the object exists."""
    return status(error) == 412


def conflict(error: "ClientError") -> bool:
    """Whether a conditional write met another one under way and may be repeated."""
    return status(error) == 409


def translate(error: "ClientError", *, bucket: str, key: str, endpoint: str) -> Exception:
    """The contract's error for a server's answer."""
    place = f"s3://{bucket}/{key} at {endpoint}"
    name, number = code(error), status(error)
    if name == "NoSuchBucket":
        return BadInput(f"spec.artifacts.uri: there is no bucket {bucket!r} at {endpoint}; create it", reason=name)
    if name in ("NoSuchKey", "404") or number == 404:
        return FileNotFoundError(place)
    if name in DENIED or number in (401, 403):
        return AccessDenied(f"{place}: {name}; check the credentials of spec.artifacts.secretRef and their rights")
    if name in UNSUPPORTED or number == 501:
        return BadInput(f"{place}: the server does not support this request ({name})", reason="StoreUnsupported")
    if number >= 500 or name in ("SlowDown", "RequestTimeout", "Throttling", "RequestTimeTooSkewed"):
        return Unavailable(f"{place}: {name or number} after retries; try again later")
    return StageError(f"{place}: {error}")


@contextmanager
def mapped(*, bucket: str, key: str, endpoint: str) -> Iterator[None]:
    """Runs a block of boto3 calls with their errors mapped."""
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
    except BotoCoreError as error:
        raise Unavailable(f"cannot reach s3://{bucket}/{key} at {endpoint}: {error}; see its endpoint") from error
