"""Leader election on a Lease (coordination.k8s.io/v1): of several operators one acts at a time.

The durations are those of client-go's leader election. A candidate takes the Lease over once it has read the same
resourceVersion for LEASE_DURATION_SECONDS. The leader stops writing RENEW_DEADLINE_SECONDS after the start of its last
successful renewal. Both measure on their own monotonic clock, from what they observe, so clocks need not agree; they
only have to run at about the same speed: the 5 s between the two durations allow a drift of a third. The timestamps in
the Lease are for people and are never compared.

A request that was sent just before the deadline may still arrive after a takeover. That is harmless: names of Jobs
follow from the plan, so creating one twice is rejected, and the new leader's reconcile corrects a stale status.

Access to the API server: get, create and update one Lease in the operator's namespace.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from selfalign_operator.cluster import obstacles
from selfalign_operator.cluster.availability import is_outage
from selfalign_operator.cluster.client import ApiError, Client, Object

LEASE_DURATION_SECONDS = 15
"""How long a candidate must observe an unchanged Lease before it takes over; so long is the pause after a crash."""
RENEW_DEADLINE_SECONDS = 10.0
"""How long the leader keeps acting without a successful renewal. Below the lease duration, or two would act at once."""
RETRY_PERIOD_SECONDS = 2.0
"""Between two calls of `acquire_or_renew`: four renewals may fail before the leader has to stop."""
REQUEST_SECONDS = 3.0
"""Limit on one request about the Lease: one that hangs leaves time for two more before the renew deadline."""
MARGIN_SECONDS = 0.05
"""After the expiry of a Lease: `acquire_or_renew` compares with `>`."""


@dataclass
class Leadership:
    """One operator's part in the election.

    Attributes:
        client: sends the Lease requests, over a connection of its own, so that they never wait for those of the
            reconciler. Not the fenced client: that one writes only while this operator is leader.
        namespace: namespace of the Lease.
        name: name of the Lease.
        identity: this operator, unique among the candidates; the pod's name, so that a container that is restarted in
            its pod keeps the Lease.
        clock: monotonic seconds.
        lease_metadata: labels and annotations of the Lease.
        superseded: whether another operator holds the Lease, as far as this one has read.
    """

    client: Client
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float] = time.monotonic
    lease_metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    superseded: bool = False
    problem: str = ""
    """Why the last attempt failed, in words for log and readiness; empty if it succeeded, or another operator leads."""
    _renewed: float | None = None
    _own: Object | None = None
    """The Lease as this operator last wrote it: a renewal needs one request while nobody else has written it."""
    _observed: tuple[str, float] = field(default=("", 0.0))
    """resourceVersion of the Lease as another operator wrote it, and when this operator first read it."""

    @property
    def is_leader(self) -> bool:
        """Whether this operator may write now. Checked before every write, not once per reconcile."""
        return self._renewed is not None and self.clock() - self._renewed < RENEW_DEADLINE_SECONDS

    def acquire_or_renew(self) -> bool:
        """Tries once to renew the Lease, or to acquire it if it is free or expired.

        A failed request is not an error here: another candidate was faster, or the API server is unavailable. The
        leader then stays leader until its renew deadline.

        Returns:
            Whether this operator is the leader afterwards.
        """
        started = self.clock()
        try:
            acquired = self._renew() or self._acquire()
        except ApiError as error:
            # 409: another candidate was faster
            if error.code not in (0, 409) and not is_outage(error.code):
                doing = f"use the Lease {self.namespace}/{self.name}, so it reconciles no run"
                self.problem = obstacles.explain(error, doing=doing).message
            return self.is_leader
        self.problem = ""
        if acquired:
            # the deadline counts from before the request: candidates may read the new version at once
            self._renewed = started
        return acquired

    def seconds_until_next_attempt(self) -> float:
        """Returns the seconds until `acquire_or_renew` is due: a candidate tries at the moment the Lease expires."""
        expires = self._observed[1] + LEASE_DURATION_SECONDS + MARGIN_SECONDS - self.clock()
        return min(expires, RETRY_PERIOD_SECONDS) if self.superseded and expires > 0 else RETRY_PERIOD_SECONDS

    def release(self) -> None:
        """Gives the Lease up, so that the next operator acquires it without waiting. Call it after the last write.

        Raises:
            ApiError: the Lease could not be updated; it expires by itself.
        """
        if self.is_leader and (lease := self.client.get_lease(self.namespace, self.name)) is not None:
            # first: nothing may be written from here on, whether or not the request succeeds
            self._renewed = self._own = None
            lease["spec"]["holderIdentity"] = ""
            self.client.replace_lease(lease)

    def _renew(self) -> bool:
        """Renews the Lease as this operator last wrote it; False if it has to be read first."""
        lease, self._own = self._own, None
        if lease is None or not self.is_leader:
            return False
        try:
            return self._write(lease)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return False  # deleted, or written by somebody else: read what it is now

    def _acquire(self) -> bool:
        lease = self.client.get_lease(self.namespace, self.name)
        return self._create() if lease is None else self._update(lease)

    def _create(self) -> bool:
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_DURATION_SECONDS,
            "leaseTransitions": 0,
            "acquireTime": _micro_time(),
            "renewTime": _micro_time(),
        }
        self.superseded = False
        metadata = {"name": self.name, "namespace": self.namespace, **self.lease_metadata}
        self._own = self.client.create_lease({"metadata": metadata, "spec": spec})
        return True

    def _update(self, lease: Object) -> bool:
        """Renews an own Lease, takes over a free or expired one, leaves any other alone."""
        # a Lease that was made by hand may have no spec; it has no holder either
        spec: dict[str, Any] = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity")
        if holder != self.identity:
            # an empty holder is a Lease that was released
            if holder and not self._expired(lease):
                # another operator is the leader, so this one stops at once, even before its renew deadline
                self._renewed, self.superseded = None, True
                return False
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = _micro_time()
        return self._write(lease)

    def _write(self, lease: Object) -> bool:
        lease["spec"] |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_DURATION_SECONDS,
            "renewTime": _micro_time(),
        }
        for part, values in self.lease_metadata.items():
            lease["metadata"][part] = lease["metadata"].get(part, {}) | values
        # carries the resourceVersion that was read: of two candidates that try at once, one gets 409 Conflict
        self._own = self.client.replace_lease(lease)
        self.superseded = False
        return True

    def _expired(self, lease: Object) -> bool:
        """Whether the Lease has not changed for the lease duration, by this operator's own clock."""
        version = lease["metadata"]["resourceVersion"]
        if self._observed[0] != version:
            self._observed = (version, self.clock())
        return self.clock() - self._observed[1] > LEASE_DURATION_SECONDS


def _micro_time() -> str:
    """The current time as metav1.MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
