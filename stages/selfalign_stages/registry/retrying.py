"""When and after how long a request to a registry is sent again. Pure.

Few attempts and short waits: a registry that needs longer than this is reported as unavailable, and the step is retried
by the Job, whose waits double. Blobs that have arrived are not sent again then.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

ATTEMPTS = 4
BACKOFF_SECONDS = (0.2, 1.0, 3.0, 0.0)
"""Wait after each attempt where the server names none; none after the last."""
MAX_WAIT_SECONDS = 20.0
"""Longest wait that a server is granted. SIGTERM leaves a pod 30 s, and the process cannot end while it waits."""
REFUSED = (429, 503)
"""Statuses with which a server says that it has done nothing: whatever was sent may be sent again."""
STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which a repeatable request is sent again."""


def wait(headers: Mapping[str, str], attempt: int, *, now: datetime) -> float:
    """Seconds before the next attempt.

    Args:
        headers: of the response.
        attempt: number of attempts before the one that failed.
        now: current time, with time zone.
    """
    asked = retry_after(headers, now=now)
    return BACKOFF_SECONDS[attempt] if asked is None else asked


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Reads Retry-After, seconds or a date (RFC 9110, section 10.2.3); None if it is missing or neither."""
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - now).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
