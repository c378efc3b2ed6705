"""What the error answers of S3 servers mean: whose fault it is, what to do, and whether another attempt can help.

boto3 reports almost every error answer as one ClientError with the server's code. The codes below are those of the S3
API reference ("Error responses") and of servers with the same API; a code that is not among them counts by its HTTP
status. Servers do not always send a code, and answers to HEAD never have one: then boto3 reports the status as code.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfalign_stages.contract import expiry
from selfalign_stages.contract.exits import AccessDenied, BadInput, DoesNotFit, StageError, Unavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Meaning:
    """What to raise for an error answer.

    Attributes:
        error: type to raise; it decides whether the step is retried.
        remedy: what the user does about it.
        reason: reason of the error. None: the type's own.
    """

    error: type[StageError]
    remedy: str
    reason: str | None = None


DENIED = Meaning(AccessDenied, "check the credentials of spec.artifacts.secretRef and their permissions")
UNKNOWN_KEY = Meaning(
    AccessDenied, "the server does not know this access key: correct AWS_ACCESS_KEY_ID in spec.artifacts.secretRef"
)
WRONG_SECRET = Meaning(
    AccessDenied,
    "correct AWS_SECRET_ACCESS_KEY in spec.artifacts.secretRef; if it is right, a proxy in between changes requests",
)
# A rerun reads the Secret anew, and so does each request where it is mounted.
EXPIRED = Meaning(
    Unavailable,
    "the credentials have expired: renew the Secret of spec.artifacts.secretRef, and the next attempt uses it",
    expiry.REASON,
)
# Retried, because the next attempt may run on another node.
CLOCK = Meaning(
    Unavailable,
    "the clocks of this node and of the server differ by more than the server allows: synchronise the node's (NTP)",
    "ClockSkewed",
)
FULL = Meaning(
    DoesNotFit, "free space in the store of spec.artifacts.uri or raise its quota, then run again", "StoreFull"
)
KMS_KEY = Meaning(
    BadInput,
    "set spec.artifacts.sseKmsKeyId to a key that is enabled, in the bucket's region",
    "EncryptionKeyUnusable",
)
KMS_DENIED = Meaning(
    AccessDenied,
    "the credentials of spec.artifacts.secretRef may not use the key of spec.artifacts.sseKmsKeyId: allow "
    "kms:GenerateDataKey and kms:Decrypt",
)
THROTTLED = Meaning(Unavailable, "the server throttles requests: run again later, or raise its limit")
ELSEWHERE = Meaning(BadInput, "set spec.artifacts.region and spec.artifacts.endpoint to the bucket's", "WrongRegion")
WRONG_NAME = Meaning(BadInput, "correct bucket and prefix of spec.artifacts.uri", "StoreAddressInvalid")
UNSUPPORTED = Meaning(
    BadInput,
    "the server of spec.artifacts.endpoint lacks this request: use a release or a server that has it",
    "StoreUnsupported",
)
TOO_LARGE = Meaning(
    BadInput,
    "the server, or a proxy before spec.artifacts.endpoint, refuses bodies of this size: raise its limit to 64 MiB",
    "StoreUnsupported",
)
ARRIVED_DAMAGED = Meaning(
    Unavailable, "what the server received is not what was sent: run again; if it recurs, look for a faulty proxy"
)
UPLOAD_GONE = Meaning(Unavailable, "the server dropped the upload before it was complete: run again")
COLLISION = Meaning(Unavailable, "other writes on the same key kept this one from the server: run again")
DOWN = Meaning(Unavailable, "run again when the server answers")
REFUSED = Meaning(BadInput, "correct what the server names", "StoreRefused")
PROXY = Meaning(AccessDenied, "a proxy asks for a password: correct HTTP_PROXY, HTTPS_PROXY or NO_PROXY")
NOT_S3 = Meaning(
    BadInput,
    "this is a web page and no answer of S3: correct spec.artifacts.endpoint (the API's port, not the console's), or "
    "name the host in NO_PROXY",
    "NotS3",
)
# Also what boto3 makes of a page with status 200 that answers a write.
PAGE_OF_A_GATEWAY = Meaning(
    Unavailable,
    "this is a web page: run again when the server answers; if it is a login page, correct spec.artifacts.endpoint or "
    "name the host in NO_PROXY",
)

CODES = {
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"), UNKNOWN_KEY),
    "SignatureDoesNotMatch": WRONG_SECRET,
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "InvalidToken", "InvalidSecurity", "Forbidden"), DENIED),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"), EXPIRED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestInTheFuture"), CLOCK),
    **dict.fromkeys(
        (
            *("QuotaExceeded", "InsufficientStorage", "InsufficientStorageSpace", "StorageFull"),
            *("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "ServiceQuotaExceededException"),
        ),
        FULL,
    ),
    **dict.fromkeys(("SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests"), THROTTLED),
    **dict.fromkeys(("TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded"), THROTTLED),
    **dict.fromkeys(("PermanentRedirect", "TemporaryRedirect", "Redirect", "IncorrectEndpoint"), ELSEWHERE),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"), ELSEWHERE),
    "InvalidRegion": ELSEWHERE,
    **dict.fromkeys(("InvalidBucketName", "InvalidURI", "KeyTooLongError", "InvalidObjectName"), WRONG_NAME),
    **dict.fromkeys(("NotImplemented", "MethodNotAllowed", "XNotImplemented", "UnsupportedOperation"), UNSUPPORTED),
    "EntityTooLarge": TOO_LARGE,
    **dict.fromkeys(("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "InvalidPart"), ARRIVED_DAMAGED),
    **dict.fromkeys(("XAmzContentChecksumMismatch", "ContentSHA256Mismatch"), ARRIVED_DAMAGED),
    "NoSuchUpload": UPLOAD_GONE,
    "RequestTimeout": DOWN,
}
STATUSES = {
    **dict.fromkeys((301, 302, 303, 307, 308), ELSEWHERE),
    **dict.fromkeys((401, 403), DENIED),
    407: PROXY,
    **dict.fromkeys((408, 425), DOWN),
    409: COLLISION,
    413: TOO_LARGE,
    429: THROTTLED,
    **dict.fromkeys((405, 501), UNSUPPORTED),
    507: FULL,
}
FULL_WORDS = ("quota", "storage cap", "storage limit", "no space left", "disk full", "insufficient storage")
"""Words of messages with which servers say under a general code, such as AccessDenied, that the store is full."""


def code(error: "ClientError") -> str:
    """The server's error code, such as NoSuchKey; the HTTP status if it sent none; "" without either."""
    return str(error.response.get("Error", {}).get("Code") or "")


def status(error: "ClientError") -> int:
    """The HTTP status; 0 if the response has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def said(error: "ClientError") -> str:
    """The server's message for people; "" if it sent none."""
    return str(error.response.get("Error", {}).get("Message") or "")


def is_page(error: "ClientError") -> bool:
    """Whether the answer's body is a web page. S3 answers errors in XML."""
    return _header(error, "content-type").startswith("text/html")


def missing(error: "ClientError") -> bool:
    """Whether there is no such object. The bucket may be missing as well where the server sent no code."""
    return status(error) == 404 and code(error) not in ("NoSuchBucket", "NoSuchUpload") and not is_page(error)


def meaning(error: "ClientError") -> Meaning:
    """Looks up what an error answer means; answers for which `missing` holds excepted."""
    name, number, message = code(error), status(error), said(error).lower()
    if is_page(error) and number != 407:
        return NOT_S3 if number < 500 else PAGE_OF_A_GATEWAY
    if number >= 400 and any(words in message for words in FULL_WORDS):
        return FULL
    # Before KMS's other codes, of which some say that it throttles.
    if name.removeprefix("KMS.").startswith("Throttl"):
        return THROTTLED
    if name.startswith("KMS.") or name == "KMSNotConfigured":
        return KMS_KEY
    known = CODES.get(name) or STATUSES.get(number) or (DOWN if number >= 500 else REFUSED)
    if known.error is AccessDenied and known is not PROXY and expiry.says_expired(f"{name} {message}"):
        return EXPIRED
    return KMS_DENIED if known is DENIED and "kms" in message else known


def destination(error: "ClientError") -> str:
    """Where the server says that the bucket is, as words for a message; "" if it does not say."""
    details = error.response.get("Error", {})
    region = _header(error, "x-amz-bucket-region") or str(details.get("Region") or "")
    address = str(details.get("Endpoint") or "") or _header(error, "location")
    parts = [f"the bucket's region is {region!r}"] if region else []
    return ", ".join([*parts, f"the server points to {address}"] if address else parts)


def _header(error: "ClientError", name: str) -> str:
    headers: dict[str, str] = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}) or {}
    return str(headers.get(name) or "")
