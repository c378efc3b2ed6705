"""The operator's I/O in the test's own process, against the shared control plane: each reconcile is one call.

`OperatorProcess` runs the whole operator and can be killed. Here a test chooses when a reconcile happens and what time
it is, so that it can state what one reconcile writes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
from kubernetes import config
from tests.cluster.namespace import Namespace

from selfalign_operator.cluster.client import Client, RunKey
from selfalign_operator.cluster.health import Health
from selfalign_operator.cluster.reconcile import Reconciler
from selfalign_operator.cluster.status_throttle import StatusThrottle
from selfalign_operator.jobs.job import StageImages

IMAGES = StageImages({name: f"local.test/{name}:1" for name in ("cpu", "generate", "train")})


def client_of(namespace: Namespace) -> Client:
    """A client with an administrator's rights."""
    return Client(config.new_client_from_config(str(namespace.cluster.kubeconfig)))


@dataclass
class InProcessOperator:
    """Reconciles runs of one namespace; keeps throttle and metrics between reconciles as the real one does."""

    namespace: Namespace
    client: Client
    health: Health = field(default_factory=Health)
    throttle: StatusThrottle = field(default_factory=StatusThrottle)
    ahead: timedelta = timedelta()
    """How far its clock is ahead of the machine's."""
    images: StageImages = IMAGES
    release: str = "system/selfalign"

    def reconcile(self, name: str = "trial") -> float | None:
        """One reconcile of a run; seconds until the next."""
        return asyncio.run(self._reconcile((self.namespace.name, name)))

    def reconcile_until(self, reached: Callable[[], bool], name: str = "trial") -> None:
        """Reconciles until something holds."""
        for _ in range(300):
            self.reconcile(name)
            if reached():
                return
        raise AssertionError(f"not reached: {self.namespace.status(name).get('conditions')}")

    def now(self) -> datetime:
        """The time on its clock."""
        return datetime.now(UTC) + self.ahead

    async def _reconcile(self, key: RunKey) -> float | None:
        async with aiohttp.ClientSession() as http:
            reconciler = Reconciler(
                client=self.client,
                images=self.images,
                operator=self.release,
                http=http,
                health=self.health,
                clock=self.now,
                throttle=self.throttle,
            )
            return await reconciler.reconcile(key)
