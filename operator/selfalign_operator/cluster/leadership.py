"""One operator acts at a time: a Lease (coordination.k8s.io) that the holder renews, and a clock that fences it.

Whoever holds it acts until `ACTS_SECONDS` after its last renewal; another takes it over only after `LASTS_SECONDS`
without one. Both go by their own monotonic clock, so that clocks need not agree.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from selfalign_operator.cluster.client import ApiError, Client, Object

LASTS_SECONDS, ACTS_SECONDS, RENEWS_SECONDS = 15, 10.0, 3.0


@dataclass
class Leadership:
    """`identity` must differ between operators; `clock` is monotonic, in seconds."""

    client: Client
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float] = time.monotonic
    _renewed: float | None = None
    _seen: tuple[str, float] = field(default=("", 0.0))

    @property
    def is_leader(self) -> bool:
        """Whether we may act now."""
        return self._renewed is not None and self.clock() - self._renewed < ACTS_SECONDS

    def acquire_or_renew(self) -> bool:
        """Renews, takes or waits, once; whether we hold it."""
        began = self.clock()
        try:
            lease = self.client.get_lease(self.namespace, self.name)
            mine = self._create() if lease is None else self._renew(lease)
        except ApiError:  # somebody was faster, or the API server is away: the clock decides how long we may act
            return self.is_leader
        if mine:
            self._renewed = began
        return mine

    def release(self) -> None:
        """Lets the next one begin at once."""
        if self.is_leader and (lease := self.client.get_lease(self.namespace, self.name)) is not None:
            self._renewed = None
            lease["spec"]["holderIdentity"] = ""
            self.client.replace_lease(lease)

    def _create(self) -> bool:
        spec = {"holderIdentity": self.identity, "leaseDurationSeconds": LASTS_SECONDS, "leaseTransitions": 0}
        metadata = {"name": self.name, "namespace": self.namespace}
        times = {"acquireTime": _micro_time(), "renewTime": _micro_time()}
        self.client.create_lease({"metadata": metadata, "spec": spec | times})
        return True

    def _renew(self, lease: Object) -> bool:
        spec: dict[str, Any] = lease["spec"]
        if spec.get("holderIdentity") != self.identity:
            if spec.get("holderIdentity") and not self._expired(lease):
                self._renewed = None
                return False
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + 1
            spec["acquireTime"] = _micro_time()
        spec |= {"holderIdentity": self.identity, "renewTime": _micro_time()}
        self.client.replace_lease(lease)
        return True

    def _expired(self, lease: Object) -> bool:
        """Whether its holder has not renewed it for as long as we watched."""
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, self.clock())
        return self.clock() - self._seen[1] > LASTS_SECONDS


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
