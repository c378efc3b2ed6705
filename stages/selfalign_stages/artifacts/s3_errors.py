"""Maps what boto3 raises to the errors of the contract, naming bucket, key, endpoint and remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from selfalign_stages.artifacts import s3_answers
from selfalign_stages.contract.exits import AccessDenied, BadInput, StageError, Unavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

WRONG_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""OpenSSL's errors that stay until the configuration changes: an unknown authority, and plain HTTP behind https://."""


def translate(error: "ClientError", *, bucket: str, key: str, endpoint: str) -> Exception:
    """Chooses the error of the contract for an error answer.

    Args:
        error: what boto3 raised.
        bucket: bucket of the request.
        key: key or prefix of the request.
        endpoint: the server, for messages: a URL, or "AWS".

    Returns:
        An exception to raise: FileNotFoundError for a missing object, else a StageError.
    """
    place = f"s3://{bucket}/{key} at {endpoint}"
    if s3_answers.missing(error):
        return FileNotFoundError(place)
    name = s3_answers.code(error)
    if name == "NoSuchBucket":
        return BadInput(f"spec.artifacts.uri: there is no bucket {bucket!r} at {endpoint}; create it", reason=name)
    meaning = s3_answers.meaning(error)
    answer = ": ".join(filter(None, (name or str(s3_answers.status(error)), s3_answers.said(error))))
    where = s3_answers.destination(error) if meaning is s3_answers.ELSEWHERE else ""
    return meaning.error("; ".join(filter(None, (f"{place}: {answer}", where, meaning.remedy))), reason=meaning.reason)


@contextmanager
def mapped(*, bucket: str, key: str, endpoint: str) -> Iterator[None]:
    """Maps the errors of the boto3 calls in its block.

    Args:
        bucket: bucket of the requests.
        key: key or prefix of the requests.
        endpoint: the server, for messages: a URL, or "AWS".

    Raises:
        FileNotFoundError: there is no such object.
        AccessDenied: no credentials, or the server refuses them.
        BadInput: bucket, endpoint, region or another setting is wrong, or the server lacks the requested feature.
        DoesNotFit: the store is full.
        Unavailable: the server is down, unreachable or throttles, or credentials have expired.
    """
    # botocore takes long to import, and file:// stores never need it.
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise translate(error, bucket=bucket, key=key, endpoint=endpoint) from error
    except BotoCoreError as error:
        raise _of_client(error, f"s3://{bucket}/{key} at {endpoint}") from error
    except ResponseParserError as error:
        # Its own message contains the whole answer, which may be long.
        raise not_s3(f"s3://{bucket}/{key} at {endpoint}") from error


def not_s3(place: str) -> StageError:
    """The error for an answer that S3 would never send."""
    meaning = s3_answers.NOT_S3
    return meaning.error(f"{place}: {meaning.remedy}", reason=meaning.reason)


def damaged(place: str, problem: str) -> Unavailable:
    """The error for an answer that S3 could have sent, but not to this request.

    Args:
        place: bucket, key and endpoint.
        problem: what is wrong with the answer.
    """
    return Unavailable(f"{place}: {problem}; run again, and if it recurs, look for a faulty proxy or server")


def _of_client(error: Exception, place: str) -> StageError:
    """Chooses the error for what boto3 raises without an error answer."""
    from botocore import exceptions as of_boto

    match error:
        case of_boto.NoCredentialsError() | of_boto.PartialCredentialsError():
            return AccessDenied(
                f"{place}: {_sentence(error)}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a Secret with "
                "both in spec.artifacts.secretRef"
            )
        case (
            of_boto.CredentialRetrievalError()
            | of_boto.TokenRetrievalError()
            | of_boto.MetadataRetrievalError()
            | of_boto.SSOError()
            | of_boto.LoginError()
        ):
            return AccessDenied(
                f"{place}: {_sentence(error)}; correct what provides the credentials, or name a Secret in "
                "spec.artifacts.secretRef"
            )
        case of_boto.NoRegionError() | of_boto.InvalidRegionError():
            return BadInput(f"{place}: {_sentence(error)}; set spec.artifacts.region", reason="RegionInvalid")
        case of_boto.SSLError() if any(word in str(error).upper().replace(" ", "_") for word in WRONG_TLS):
            return BadInput(
                f"{place}: {_sentence(error)}; set spec.artifacts.caFile to the authority that signed the server's "
                "certificate, and spec.artifacts.endpoint to http:// if the server has no TLS",
                reason="TlsFailed",
            )
        case of_boto.ChecksumError() | of_boto.FlexibleChecksumError():
            return damaged(place, f"the bytes arrived damaged ({_sentence(error)})")
        case of_boto.ProxyConnectionError():
            return Unavailable(f"{place}: {_sentence(error)}; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY")
        # Connection refused or lost, no such host, timeouts, and an answer that ended early.
        case of_boto.ConnectionError() | of_boto.HTTPClientError() | of_boto.IncompleteReadError():
            return Unavailable(f"cannot reach {place}: {_sentence(error)}; check the endpoint and the network")
    # What is left is found before anything is sent: bucket names, addresses, profiles and settings of the environment.
    return BadInput(
        f"{place}: {_sentence(error)}; correct spec.artifacts.uri, spec.artifacts.endpoint or the AWS_* variable that "
        "this names",
        reason="StoreSettingInvalid",
    )


def _sentence(error: Exception) -> str:
    """The error's text on one line, short enough for a termination message."""
    return " ".join(str(error).split()).rstrip(".")[:400]
