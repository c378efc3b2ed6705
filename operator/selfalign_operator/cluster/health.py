"""Health endpoints and metrics of the operator: /healthz, /readyz and /metrics on one port.

Liveness follows the watches, not the process: an operator whose watches are stalled would answer any probe and still
act on nothing. Its own Lease is watched too and is renewed every few seconds, so silence never means that the cluster
is idle. Readiness is not about traffic (nothing calls the operator): it tells a rollout that the watches work.

The registry belongs to the instance, not to the process, so that tests can create as many as they need.

No access to the API server.
"""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from selfalign_operator.api.status import RunStatus
from selfalign_operator.cluster.client import RunKey

STALE_SECONDS = 90.0
"""Limit on the time since the last watch event. kopf restarts a silent watch within 70 s; if the next one is silent as
well, only a new process helps."""
MINUTE, HOUR = 60.0, 3600.0
STEP_BUCKETS = (10.0, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR)
"""Histogram buckets for step durations in seconds: from merging a small adapter to training a 65B model."""


class Health:
    """Metrics of one operator, and whether it is alive and ready.

    Attributes:
        missed_runs: runs whose changes the watch did not deliver (watch_audit); liveness fails while there are any.
        ready: whether any watch has delivered an event yet.
        reconcile_seconds, failures, leads: metrics that their owners update directly.

    Args:
        clock: monotonic seconds.
        last_outage: when the API server last did not answer, by the same clock; None if that never happened.
        lease_problem: why leader election fails; empty if it works. No run is reconciled without it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        last_outage: Callable[[], float | None] = lambda: None,
        lease_problem: Callable[[], str] = lambda: "",
    ) -> None:
        self.registry, self._last_outage = CollectorRegistry(), last_outage
        self._clock, self._last_event, self.ready = clock, clock(), False
        self.missed_runs: tuple[RunKey, ...] = ()
        self._lease_problem = lease_problem
        self._phases: dict[RunKey, str] = {}
        registry = self.registry
        self.reconcile_seconds = Histogram(
            "selfalign_reconcile_seconds", "Duration of one reconcile", registry=registry
        )
        self.failures = Counter("selfalign_reconcile_failures_total", "Failed reconciles", registry=registry)
        self.jobs = Counter("selfalign_jobs_created_total", "Jobs created", ["step"], registry=registry)
        self.ended = Counter(
            "selfalign_steps_total", "Finished steps by final state", ["step", "state"], registry=registry
        )
        self.retries = Counter(
            "selfalign_retries_total", "Jobs created for a second or later attempt", ["step"], registry=registry
        )
        self.durations = Histogram(
            "selfalign_step_duration_seconds",
            "Wall time of the attempt that published the artifact",
            ["step"],
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self.runs = Gauge("selfalign_runs", "Runs by phase", ["phase"], registry=registry)
        self.leads = Gauge("selfalign_leader", "1 while this operator is the leader", registry=registry)
        age = Gauge("selfalign_watch_age_seconds", "Seconds since the last watch event", registry=registry)
        age.set_function(self.watch_age)
        missed = Gauge("selfalign_watch_missed_runs", "Runs whose changes the watch did not deliver", registry=registry)
        missed.set_function(lambda: len(self.missed_runs))

    def set_phase(self, run: RunKey, phase: str | None) -> None:
        """Counts a run in its phase instead of its previous one; None removes a deleted run."""
        # a gauge per phase instead of one per run: the number of time series does not grow with the runs
        previous = self._phases.pop(run, None)
        if previous is not None:
            self.runs.labels(previous).dec()
        if phase is not None:
            self._phases[run] = phase
            self.runs.labels(phase).inc()

    def count_job(self, step: str, attempt: int) -> None:
        """Counts a created Job.

        Args:
            step: step id, or "preflight".
            attempt: number of the attempt, from 1; anything above counts as a retry, too.
        """
        self.jobs.labels(step).inc()
        if attempt > 1:
            self.retries.labels(step).inc()

    def count_ended_steps(self, before: RunStatus, after: RunStatus) -> None:
        """Counts the steps that have ended between two statuses of a run.

        Only steps that ran have a duration: a cache hit would report the time of a run long ago.

        Args:
            before: the status that was on the API server.
            after: the status that has replaced it.
        """
        for name, step in after.steps.items():
            previous = before.steps.get(name)
            if step.state not in ("Succeeded", "Failed"):
                continue
            # the same final state of the same artifact before and after: counted when it was reached
            if previous is not None and (previous.state, previous.key) == (step.state, step.key):
                continue
            self.ended.labels(name, step.state).inc()
            if step.cache == "Miss" and step.seconds is not None:
                self.durations.labels(name).observe(step.seconds)

    def record_watch_event(self) -> None:
        """Records that a watch delivered an event; the first one makes the operator ready."""
        self._last_event, self.ready = self._clock(), True

    def watch_age(self) -> float:
        """Returns the seconds since the last watch event, or since the start if there was none."""
        return self._clock() - self._last_event

    @property
    def alive(self) -> bool:
        """Whether the watches deliver events in time, and the events of every run.

        In an outage of the API server no watch can deliver anything. Its silence then proves nothing, and a restart
        would help nobody: it would only delay the operator's return by the kubelet's back-off.
        """
        outage = self._last_outage()
        excused = outage is not None and self._clock() - outage < STALE_SECONDS
        return (self.watch_age() < STALE_SECONDS or excused) and not self.missed_runs

    async def serve(self, port: int) -> web.AppRunner:
        """Serves the endpoints on all interfaces, over IPv4 and IPv6; returns once the port listens.

        Args:
            port: TCP port.

        Returns:
            The running server; the caller awaits its `cleanup`.

        Raises:
            OSError: the port is in use.
        """
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        # without an access log: probes and scrapes would be most of the operator's output
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        # None: a listener for each address family that the machine has
        await web.TCPSite(runner, None, port).start()
        return runner

    async def _healthz(self, _: web.Request) -> web.Response:
        lines = [f"last watch event {self.watch_age():.0f} s ago, limit {STALE_SECONDS:.0f} s"]
        lines += [
            f"watch is stalled: no event for a change of {namespace}/{name}" for namespace, name in self.missed_runs
        ]
        return web.Response(text="\n".join(lines) + "\n", status=200 if self.alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        problem = self._lease_problem() or ("" if self.ready else "no watch event received yet")
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
