"""Lets runs that need the same artifact at the same time make it once. Pure.

Equal keys mean equal work (contract.graph). Preflight finds what is finished, once, at the start of a run; what another
run is making at that moment, it cannot find. Such a step waits without a Job, and so without a pod, quota or a place in
a queue, and takes the artifact over as a cache hit once it is published. A wait is no attempt, and spec.budget.deadline
goes on. If the other run fails for good, is suspended or deleted, or its Job cannot start, the step is started here.

A step waits only for an attempt that exists, or that is due again after a crash, and a run with such an attempt waits
for nobody at that step: there is no circle of waiting runs. Should two Jobs for one key exist all the same, as after a
change of the leader, the store takes the first artifact and refuses the second (decision 0008).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from selfalign_operator.api.run import SelfAlignRun
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.model import canonical_json, sha256_hex
from selfalign_stages.contract.task import Result

OWN_KINDS: tuple[Kind, ...] = ("gate", "push")
"""Kinds that every run carries out itself: the judgement of its own gates, and a push, which changes a registry with
the run's own credentials. Both take seconds on a CPU."""
IN_QUEUE = ("QuotaPending", "Unschedulable")
"""Reasons of a pending Job that will run once there is room. A later run with equal placement waits for it, as it would
for its own Job in the same queue. With another placement, or for another reason, that Job may wait for ever because of
its own run or namespace, and nobody waits for it."""
REFUSED = "JobRefused"
"""Reason of a step whose Job the API server has refused (quota, admission), and may refuse again."""
STORE_DIGITS = 16
"""Hexadecimal digits of the digest of a store's address: a label's value, where 64 bits are enough."""


class Place(NamedTuple):
    """Place of a run among all runs: by age, and by name between runs that were created in one second."""

    created: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Making:
    """A step that a run is making.

    Attributes:
        step: id of the step.
        pending: reason why its Job does not run yet; None if it does, or may soon.
        starting: the plan starts the attempt, which the API server may still refuse.
        placement: digest of what decides where a pending Job may run (`placement`).
    """

    step: str
    pending: str | None = None
    starting: bool = False
    placement: str = ""


@dataclass(frozen=True)
class Made:
    """An artifact that a run has published.

    Attributes:
        result: the result of the step.
        at: when the step ended.
    """

    result: Result
    at: datetime


@dataclass(frozen=True)
class Work:
    """What one run makes, has made and waits for, by artifact key. Only of kinds that runs share.

    Attributes:
        making: steps with an attempt that exists, is being started, or is due after a crash.
        made: artifacts that its attempts published.
        waiting: keys for which it waits for another run.
        finished: the run makes nothing more unless it is edited or retried.
    """

    making: Mapping[str, Making] = field(default_factory=dict)
    made: Mapping[str, Made] = field(default_factory=dict)
    waiting: Collection[str] = ()
    finished: bool = False


@dataclass(frozen=True)
class Maker:
    """Another run that makes, or has made, the artifact of a step.

    Attributes:
        run: NAMESPACE/NAME of the run.
        step: id of the step that makes it.
        pending: reason why its Job does not run yet; None if it does.
        made: the artifact, None while it is being made.
    """

    run: str
    step: str = ""
    pending: str | None = None
    made: Made | None = None

    @property
    def hit(self) -> Result | None:
        """The published artifact as preflight would have found it; None while it is being made."""
        return self.made.result.model_copy(update={"cache": "Hit"}) if self.made is not None else None

    @property
    def message(self) -> str:
        """For the step and the condition of a run that waits."""
        queue = f", whose Job waits ({self.pending})" if self.pending else ""
        return f"waits for step {self.step} of run {self.run}{queue}, which makes the same artifact"


def place(run: SelfAlignRun) -> Place:
    """Returns the place of a run among all runs, by creation."""
    metadata = run.metadata
    return Place(metadata.creation_timestamp or "", metadata.namespace, metadata.name, metadata.uid or "")


def store_digest(run: SelfAlignRun) -> str:
    """Returns a digest of where a run's artifacts are; empty for a run without a store, which shares nothing.

    Only of the address: region, certificates and credentials are how a store is reached, not which one it is.
    """
    artifacts = run.spec.artifacts
    if artifacts is None:
        return ""
    address = [artifacts.uri.rstrip("/"), (artifacts.endpoint or "").rstrip("/")]
    return sha256_hex(canonical_json(address))[:STORE_DIGITS]


def placement(run: SelfAlignRun) -> str:
    """Returns a digest of what decides where and when the Jobs of a run may run.

    Of more than that: equal stages have equal placement, and runs with other stages rarely share a step for long.
    """
    queue = [run.metadata.namespace, run.spec.queue_name] if run.spec.queue_name else None
    return sha256_hex(canonical_json([queue, run.spec.pod_defaults.to_dict(), run.spec.stages.to_dict()]))


def choose(run: SelfAlignRun, others: Mapping[Place, Work], key: str, since: datetime | None) -> Maker | None:
    """Chooses the run that the step with this key waits for, or takes its artifact from.

    Args:
        run: the run that needs the artifact.
        others: the work of other runs with the same store.
        key: key of the artifact.
        since: when preflight searched the store for this run. What was published before, it would have found.

    Returns:
        The last run that has made it since then, else the oldest of those that make it; None if nobody does.
    """
    made = [(work.made[key], other) for other, work in others.items() if key in work.made]
    newest = max(made, key=lambda entry: entry[0].at, default=None)
    if newest is not None and (since is None or newest[0].at >= since):
        return Maker(_name(newest[1]), made=newest[0])
    for other in sorted(others):
        making = others[other].making.get(key)
        if making is not None and _is_worth_waiting(run, other, making):
            return Maker(_name(other), making.step, making.pending)
    return None


def nobody(key: str, since: datetime | None) -> None:
    """Stands for `choose` where a run has no neighbours, as on one machine."""


def _is_worth_waiting(run: SelfAlignRun, other: Place, making: Making) -> bool:
    if making.pending is None:
        return True
    return making.pending in IN_QUEUE and other < place(run) and making.placement == placement(run)


def _name(of: Place) -> str:
    return f"{of.namespace}/{of.name}"
