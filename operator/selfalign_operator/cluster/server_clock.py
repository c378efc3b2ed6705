"""The time on the API server's clock, from the Date header of its responses.

Everything that the operator compares with the current time was stamped by the control plane: starts and ends of Jobs,
creation times, its own status of an earlier leader. A machine whose clock was ten minutes ahead ended every run with a
deadline below ten minutes at once, and added GPU time that nobody had used. So `now` follows the API server, as far as
the two clocks differ by more than what the header's whole seconds and the way of a response explain.

Of several API servers each response has its own clock. They share one etcd and are kept in step far more closely than
the tolerance here, or Leases would not work either.

No access to the API server: `client` calls `record` for each response.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LOG = logging.getLogger(__name__)
TOLERANCE = timedelta(seconds=5)
"""Difference that is not corrected. The header has whole seconds, and a response under load takes a while."""


def _machine_time() -> datetime:
    return datetime.now(UTC)


@dataclass
class ServerClock:
    """Corrects a machine's clock. Thread-safe: a correction is replaced as a whole.

    Attributes:
        machine: the machine's clock, in UTC.
        correction: what is added to it; zero until a response differs by more than TOLERANCE.
    """

    machine: Callable[[], datetime] = _machine_time
    correction: timedelta = timedelta()

    def record(self, date: str | None) -> None:
        """Takes note of a response that has just arrived.

        Args:
            date: its Date header (RFC 9110); anything that is no date, as a proxy might send, is ignored.
        """
        try:
            server = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if server.tzinfo is None:  # "-0000": a date without a known zone
            return
        difference = server - self.machine()
        if abs(difference - self.correction) <= TOLERANCE:
            return
        self.correction = difference if abs(difference) > TOLERANCE else timedelta()
        LOG.warning(
            "this machine's clock differs from the API server's by %.0f s, times are corrected: synchronise it (NTP)",
            -difference.total_seconds(),
        )

    def now(self) -> datetime:
        """Returns the current time by the API server's clock, in UTC."""
        return self.machine() + self.correction
