"""Warns of other releases whose operators watch the same namespaces.

Each release has a Lease of its own, so two that watch one namespace both act there. Jobs are not doubled, since their
names follow from the plan, but each is created by whichever operator is first, with that one's stage images, and the
status is written by both in turn. Helm does not refuse that: the releases have different names. An operator therefore
writes on its Lease what it watches, lists the Leases of operators in the namespaces that it watches, and logs a
warning. One that watches single namespaces does not see an operator whose Lease is elsewhere; the chart's notes name
that one during the installation.

Access to the API server: list Leases.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from selfalign_operator.api.run import GROUP
from selfalign_operator.cluster.client import ApiError, Object

LOG = logging.getLogger(__name__)
INTERVAL_SECONDS = 60.0
"""Between two checks. Another release is installed rarely, and the runs work on meanwhile."""
LABELS = {"app.kubernetes.io/name": "selfalign-operator"}
"""Labels of every operator's Lease."""
SELECTOR = ",".join(f"{name}={value}" for name, value in LABELS.items())
WATCHES, IMAGES = f"{GROUP}/watches", f"{GROUP}/stage-images"
"""Annotations of the Lease: the watched namespaces, or `*`; and the images that the operator starts Jobs with."""
ALL = "*"
RENEWED_WITHIN = timedelta(minutes=1)
"""Age of a renewal above which an operator counts as gone. Far longer than the lease duration, because the clocks of
two nodes are compared."""


@dataclass(frozen=True)
class Operator:
    """What an operator writes on its Lease.

    Attributes:
        release: namespace and name of the Lease, such as `selfalign/selfalign`.
        namespaces: the namespaces that it watches; empty means the whole cluster.
        images: references of its stage images.
    """

    release: str
    namespaces: tuple[str, ...]
    images: tuple[str, ...]

    def lease_metadata(self) -> dict[str, dict[str, str]]:
        """Returns labels and annotations of the Lease."""
        watches = ",".join(self.namespaces) or ALL
        return {"labels": LABELS, "annotations": {WATCHES: watches, IMAGES: ",".join(self.images)}}


def operators(leases: Iterable[Mapping[str, Any]], now: datetime) -> list[Operator]:
    """Returns the operators that hold their Leases, by Leases with `LABELS`."""
    return [_operator(lease) for lease in leases if _is_held(lease, now)]


def warnings_about(own: Operator, others: Iterable[Operator]) -> list[str]:
    """Returns a warning, with its remedy, for every other release that watches a namespace of this one's."""
    return [
        f"the release {other.release} watches {shared} as well{_of_images(own, other)}: both operators reconcile each "
        "run there. Uninstall one of them, or give them different namespaces (values scope and watchNamespaces)"
        for other in others
        if other.release != own.release and (shared := _shared(own.namespaces, other.namespaces))
    ]


def _operator(lease: Mapping[str, Any]) -> Operator:
    metadata = lease["metadata"]
    annotations = metadata.get("annotations", {})
    watches = annotations.get(WATCHES, metadata["namespace"])
    return Operator(
        release=f"{metadata['namespace']}/{metadata['name']}",
        namespaces=() if watches == ALL else tuple(watches.split(",")),
        images=tuple(filter(None, annotations.get(IMAGES, "").split(","))),
    )


def _is_held(lease: Mapping[str, Any], now: datetime) -> bool:
    spec = lease.get("spec", {})
    # an empty holder is a Lease that was released
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return False
    return abs(now - datetime.fromisoformat(spec["renewTime"])) <= RENEWED_WITHIN


def _shared(own: Sequence[str], other: Sequence[str]) -> str:
    """Names the namespaces that both watch; empty if there is none."""
    if not own or not other:
        return ", ".join(own or other) or "all namespaces"
    return ", ".join(name for name in own if name in other)


def _of_images(own: Operator, other: Operator) -> str:
    different = sorted({*other.images} - {*own.images})
    return f", with other stage images ({', '.join(different)})" if different else ""


@dataclass
class RivalCheck:
    """Logs each warning once, and again when it has been absent in between.

    Attributes:
        own: this operator.
        list_leases: lists the Leases with `LABELS` in the watched namespaces; blocking.
        clock: the current time.
    """

    own: Operator
    list_leases: Callable[[], list[Object]]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _logged: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Checks once. Raises `ApiError` if the Leases cannot be listed."""
        current = set(warnings_about(self.own, operators(self.list_leases(), self.clock())))
        for warning in sorted(current - self._logged):
            LOG.warning("%s", warning)
        self._logged = current

    async def run(self, stopped: asyncio.Event) -> None:
        """Checks every INTERVAL_SECONDS until `stopped` is set. A list that fails is skipped."""
        while not stopped.is_set():
            try:
                await asyncio.to_thread(self.check)
            except ApiError as error:
                LOG.debug("Leases of operators cannot be listed: %s", error)
            try:
                await asyncio.wait_for(stopped.wait(), INTERVAL_SECONDS)
            except TimeoutError:
                continue
