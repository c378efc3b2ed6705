"""What is known about a run from outside its manifest and status: attempts at its processes, and free slots.

The local runner builds an observation from its child processes, the operator from Jobs and pods. The planner reads
nothing else, which is why this module imports neither a Kubernetes client nor `subprocess`. A "process" here is
preflight or a step, identified by PREFLIGHT or by the step's id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from selfalign_operator.planning.equal_keys import Maker, nobody
from selfalign_stages.contract.task import Failure, PreflightResult, Problem, Progress, Result

PREFLIGHT = "preflight"
"""Id of the process that resolves leaves; every other process id is a step's."""

PodOutcome = Literal["active", "succeeded", "crashed", "preempted", "stopped"]
"""How a pod ended. "active" is pending or running, as in a Job's status; "preempted" is every end that the step did not
cause: preemption, drain, eviction, or exit code 75 after SIGTERM. "stopped" is a worker whose Job had been decided by
another worker."""


@dataclass(frozen=True)
class Pod:
    """One pod of a Job, reduced to what usage and preemptions are counted from.

    Attributes:
        created: creation time.
        started: when its first container started, from which on its GPUs count; None before, and for a rejected pod.
        finished: when its last container ended; None while one runs.
        devices: GPUs in the limits of its containers.
        outcome: how it ended.
        uid: its uid, which tells pods apart that were created in one second; "" if unknown.
    """

    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    devices: int = 0
    outcome: PodOutcome = "active"
    uid: str = ""


@dataclass(frozen=True)
class Starting:
    """A Job that waits for its first stage container.

    Attributes:
        since: from when its start counts; time in a queue does not.
        detail: pod, node and what the pod does, for a message.
    """

    since: datetime
    detail: str


@dataclass(frozen=True)
class Attempt:
    """One local process for one key, or one Job with all of its pods.

    Attributes:
        key: the artifact's key; for preflight, the preflight key (run_state.preflight_key).
        number: counts the attempts at this process from 1. A number is never used twice, because it is part of the
            Job's name.
        started: start of the process or the Job.
        finished: its end; None while it runs.
        exit_code: the process's exit code (contract.exits), negative for a signal; None while it runs.
        stopping: a stop was requested (SIGTERM, or deletion of the Job) and the end is pending.
        result: what it published; None if it failed, runs, or ended without a readable result.
        failure: its own explanation of a failure, if it left one. While it runs, the lack of memory of one worker.
        progress: newest progress of a running attempt.
        job: name of its Job; None for a local process.
        generation: the run's metadata.generation at its start; None if unknown, as for local processes.
        retry: value of the run's annotation selfalign.dev/retry at its start; None if unknown, as for local processes.
        workers: pods that its Job runs in parallel.
        pods: the Job's pods that still exist. Evicted and deleted pods are missing.
        exhausted: the Job has spent the step's retries itself (backoffLimitPerIndex).
        pending: why a running attempt does not make progress: unschedulable, image pull, quota. None if it does.
        ran: whether the process has begun, as far as the Job and its pods still show it (waiting.beginning has the
            rest). False for a local process, which begins at once and is never replaced.
        form: digest of its Job as it was rendered; None for a local process.
        operator: the operator that created its Job; empty if the Job does not say.
        outlived: the attempt has ended, but its Job has not, because a pod is kept by something else. The Job has to be
            deleted once the status records the end.
        hang: what keeps its pods from ending: a sidecar, a lost node, a finalizer. None if nothing does.
        starting: since when its Job waits for the first stage container to run; None once one runs, and while queued.
        working_since: when the newest of its running stage containers started; None if none runs.
        places: pods that run, with their nodes, for messages.
        disruption: why the newest of its evicted or rejected pods ended, while another one replaces it.
        disruptions: how many of its pods ended so.
    """

    key: str
    number: int
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    stopping: bool = False
    result: Result | PreflightResult | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    job: str | None = None
    generation: int | None = None
    retry: str | None = None
    workers: int = 1
    pods: tuple[Pod, ...] = ()
    exhausted: bool = False
    pending: Failure | None = None
    ran: bool = False
    form: str | None = None
    operator: str = ""
    outlived: bool = False
    hang: Failure | None = None
    disruption: Failure | None = None
    disruptions: int = 0
    starting: Starting | None = None
    working_since: datetime | None = None
    places: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it may still publish a result; true for pending and stopping attempts."""
        return self.exit_code is None


@dataclass(frozen=True)
class Observed:
    """Everything observed about one run at one moment.

    Attributes:
        attempts: attempts by process id, in any order.
        slots: how many processes may run in parallel; None on a cluster, where the scheduler queues pods.
        pack: digest of the principle pack if the operator reads it itself, which is a ConfigMap whose content may
            change under the same name. None for packs that only preflight reads.
        problems: problems that the operator detects without a process, such as a missing ConfigMap.
        blocked: the API server's refusal of a planned Job, if it refused one.
        maker_of: returns who else makes, or has made, the artifact with a key, given when the store was searched for it
            (equal_keys.choose).
        stopped: id and number of the attempts that this reconciliation has stopped. A Job without pods is gone at once.
        orphans: names of running Jobs of an earlier run of the same name, which nobody owns.
    """

    attempts: Mapping[str, tuple[Attempt, ...]] = field(default_factory=dict)
    slots: int | None = None
    pack: str | None = None
    problems: tuple[Problem, ...] = ()
    blocked: Failure | None = None
    maker_of: Callable[[str, datetime | None], Maker | None] = nobody
    stopped: frozenset[tuple[str, int]] = frozenset()
    orphans: tuple[str, ...] = ()

    def attempts_of(self, id_: str) -> tuple[Attempt, ...]:
        """Returns the attempts at one process, oldest first."""
        return tuple(sorted(self.attempts.get(id_, ()), key=lambda attempt: attempt.number))

    def running(self) -> dict[str, Attempt]:
        """Returns the running attempt by process id. The plan never starts a second one beside it."""
        # Sorted, because the order of a plan's actions must not depend on the order in which Jobs are listed.
        return {
            id_: attempt for id_, attempts in sorted(self.attempts.items()) for attempt in attempts if attempt.running
        }
