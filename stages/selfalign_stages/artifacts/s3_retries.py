"""Decides which failed requests to S3 are sent again, and after how long.

boto3's standard mode counts retries in a quota that all threads of a client share: 35 lost connections, and none of
sixteen threads tries again (botocore 1.44, retries/standard.py). It waits three seconds in all for a server that
restarts, and ignores Retry-After. Here each request has its own attempts, which outlast a restart and a minute of
throttling, and give up on a server that never answers before a GPU has idled for long.
"""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 8
"""Attempts of a request. With the pauses below, a server that refuses connections is given up after 30 to 55 s."""
SILENT_ATTEMPTS = 3
"""Attempts of a request that no answer came to: each has already waited for the whole read timeout."""
LONGEST_PAUSE, LONGEST_THROTTLED_PAUSE = 15.0, 20.0
"""Seconds between two attempts at most."""
THROTTLING_STATUSES = (429, 503)
TRANSIENT_STATUSES = (408, 425, *THROTTLING_STATUSES)
LASTING_STATUSES = (501, 505, 507)
"""5xx that stay as they are: not implemented, and no space."""
TRANSIENT_CODES = ("RequestTimeout", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "SlowDown")
"""Codes that servers send with 4xx and that another attempt heals, such as a body that arrived damaged."""


def pause(attempt: int, *, status: int, code: str, error: Exception | None, headers: Mapping[str, str]) -> float | None:
    """Chooses the pause before the next attempt of a request.

    Args:
        attempt: attempts so far, from 1.
        status: HTTP status of the answer; 0 without one.
        code: error code of the answer; "" without one.
        error: what the client raised instead of an answer.
        headers: headers of the answer, by lower-case name.

    Returns:
        Seconds, without the random part; None: no other attempt.
    """
    from botocore.exceptions import ConnectionError, HTTPClientError, ReadTimeoutError, SSLError

    if attempt >= ATTEMPTS:
        return None
    throttled = status in THROTTLING_STATUSES or code.startswith(("Throttl", "SlowDown", "TooManyRequests"))
    if throttled:
        asked = headers.get("retry-after", "")
        return min(float(asked) if asked.isdecimal() else 2.0 ** (attempt - 1), LONGEST_THROTTLED_PAUSE)
    if error is not None:
        again = isinstance(error, (ConnectionError, HTTPClientError)) and not isinstance(error, SSLError)
        # An SSL error is a ConnectionError as well; without the right authority the next attempt fails in the same way.
        if isinstance(error, SSLError):
            again = "EOF" in str(error).upper()
        if isinstance(error, ReadTimeoutError) and attempt >= SILENT_ATTEMPTS:
            again = False
    else:
        again = status in TRANSIENT_STATUSES or code in TRANSIENT_CODES
        again = again or (status >= 500 and status not in LASTING_STATUSES)
    # The first pause is short, because a single lost connection says nothing about the server.
    return min(0.1 * 4.0 ** (attempt - 1), LONGEST_PAUSE) if again else None


def register(client: "S3Client") -> None:
    """Makes a client send failed requests again as `pause` decides, after a random half to whole of each pause."""

    def decide(
        *,
        attempts: int,
        response: tuple[Any, dict[str, Any]] | None = None,
        caught_exception: Exception | None = None,
        **_: Any,
    ) -> float | None:
        answer = response[1] if response else {}
        metadata = answer.get("ResponseMetadata", {})
        seconds = pause(
            attempts,
            status=int(metadata.get("HTTPStatusCode", 0)),
            code=str(answer.get("Error", {}).get("Code") or ""),
            error=caught_exception,
            headers=metadata.get("HTTPHeaders", {}),
        )
        # Many workers fail at the same moment; without chance they would come back at the same moment.
        return None if seconds is None else seconds * random.uniform(0.5, 1)

    # The event on which botocore asks its handlers for the seconds until the next attempt (botocore.endpoint).
    client.meta.events.register("needs-retry.s3", cast(Any, decide), unique_id="selfalign-retries")
