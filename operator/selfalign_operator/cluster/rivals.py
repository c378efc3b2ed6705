"""Warns of other releases whose operators watch the same namespaces.

Each release has a Lease of its own, so two that watch one namespace both act there. Jobs are not doubled, since their
names follow from the plan, but each is created by whichever operator is first, with that one's stage images, and the
status is written by both in turn. Helm does not refuse that: the releases have different names. The operator therefore
lists the pods of operators in the namespaces that it watches, and logs a warning. One that watches single namespaces
does not see an operator whose pod is elsewhere; the chart's notes name that one during the installation.

Access to the API server: list pods.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfalign_operator.cluster.client import ApiError, Object

LOG = logging.getLogger(__name__)
INTERVAL_SECONDS = 60.0
"""Between two checks. Another release is installed rarely, and the runs work on meanwhile."""
SELECTOR = "app.kubernetes.io/name=selfalign-operator"
"""Label of the chart's operator pods."""


@dataclass(frozen=True)
class Operator:
    """What another operator's pod, or this one's settings, say about an operator.

    Attributes:
        release: namespace and name, such as `selfalign/selfalign`.
        namespaces: the namespaces that it watches; empty means the whole cluster.
        images: references of its stage images.
    """

    release: str
    namespaces: tuple[str, ...]
    images: frozenset[str]


def operators(pods: Iterable[Mapping[str, Any]]) -> list[Operator]:
    """Returns the operators whose pods are running, or about to; replicas of one release once."""
    found = [_operator(pod) for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    return list(dict.fromkeys(found))


def warnings_about(own: Operator, others: Iterable[Operator]) -> list[str]:
    """Returns a warning, with its remedy, for every other release that watches a namespace of this one's."""
    return [
        f"the release {other.release} watches {shared} as well{_of_images(own, other)}: both operators reconcile each "
        "run there. Uninstall one of them, or give them different namespaces (values scope and watchNamespaces)"
        for other in others
        if other.release != own.release and (shared := _shared(own.namespaces, other.namespaces))
    ]


def _operator(pod: Mapping[str, Any]) -> Operator:
    variables = pod["spec"]["containers"][0].get("env", ())
    values = {variable["name"]: variable.get("value", "") for variable in variables}
    images = {value for name, value in values.items() if name.startswith("SELFALIGN_IMAGE_") and "/" in value}
    return Operator(
        release=f"{pod['metadata']['namespace']}/{values.get('SELFALIGN_NAME', pod['metadata']['name'])}",
        namespaces=tuple(filter(None, values.get("SELFALIGN_NAMESPACES", "").split(","))),
        images=frozenset(images),
    )


def _shared(own: Sequence[str], other: Sequence[str]) -> str:
    """Names the namespaces that both watch; empty if there is none."""
    if not own or not other:
        return ", ".join(own or other) or "all namespaces"
    return ", ".join(name for name in own if name in other)


def _of_images(own: Operator, other: Operator) -> str:
    different = sorted(other.images - own.images)
    return f", with other stage images ({', '.join(different)})" if different else ""


@dataclass
class RivalCheck:
    """Logs each warning once, and again when it has been absent in between.

    Attributes:
        own: this operator.
        list_pods: lists the pods of operators in the watched namespaces; blocking.
    """

    own: Operator
    list_pods: Callable[[], list[Object]]
    _logged: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Checks once. Raises `ApiError` if the pods cannot be listed."""
        current = set(warnings_about(self.own, operators(self.list_pods())))
        for warning in sorted(current - self._logged):
            LOG.warning("%s", warning)
        self._logged = current

    async def run(self, stopped: asyncio.Event) -> None:
        """Checks every INTERVAL_SECONDS until `stopped` is set. A list that fails is skipped."""
        while not stopped.is_set():
            try:
                await asyncio.to_thread(self.check)
            except ApiError as error:
                LOG.debug("pods of operators cannot be listed: %s", error)
            try:
                await asyncio.wait_for(stopped.wait(), INTERVAL_SECONDS)
            except TimeoutError:
                continue
