"""What a probe and a scrape see of the operator: /healthz and /metrics on one port."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from selfalign_operator.api.status import RunStatus

STALE_SECONDS = 90.0
"""kopf renews a silent watch after 70 s; where even that does not help, the process has to go."""
MINUTE, HOUR = 60.0, 3600.0
STEP_BUCKETS = (10.0, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR)
"""Seconds, from a merge of a small model to training a large one."""


class Health:
    """Numbers of one operator."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock, self._last_event, self.ready = clock, clock(), False
        self.missed_runs: tuple[tuple[str, str], ...] = ()
        """Runs whose changes the watch misses (cluster.audit)."""
        self._phases: dict[tuple[str, str], str] = {}
        self.reconcile_seconds = Histogram(
            "selfalign_reconcile_seconds", "Time of one look at one run", registry=self.registry
        )
        self.failures = Counter("selfalign_reconcile_failures_total", "Looks that broke off", registry=self.registry)
        self.jobs = Counter("selfalign_jobs_created_total", "Jobs created", ["step"], registry=self.registry)
        self.ended = Counter("selfalign_steps_total", "Steps that ended", ["step", "state"], registry=self.registry)
        self.retries = Counter("selfalign_retries_total", "Jobs for further attempts", ["step"], registry=self.registry)
        self.durations = Histogram(
            "selfalign_step_duration_seconds",
            "Wall time of the attempt that published",
            ["step"],
            buckets=STEP_BUCKETS,
            registry=self.registry,
        )
        self.runs = Gauge("selfalign_runs", "Runs by phase", ["phase"], registry=self.registry)
        self.leads = Gauge("selfalign_leader", "1 while this operator acts", registry=self.registry)
        age = Gauge("selfalign_watch_age_seconds", "Time since the watches were last heard", registry=self.registry)
        age.set_function(self.watch_age)
        missed = Gauge("selfalign_watch_missed_runs", "Runs whose changes the watch misses", registry=self.registry)
        missed.set_function(lambda: len(self.missed_runs))

    def set_phase(self, run: tuple[str, str], phase: str | None) -> None:
        """The phase of a run, by namespace and name; None once it is gone."""
        before = self._phases.pop(run, None)
        if before is not None:
            self.runs.labels(before).dec()
        if phase is not None:
            self._phases[run] = phase
            self.runs.labels(phase).inc()

    def count_job(self, step: str, attempt: int) -> None:
        """A Job was created for an attempt, counted from 1."""
        self.jobs.labels(step).inc()
        if attempt > 1:
            self.retries.labels(step).inc()

    def count_ended_steps(self, before: RunStatus, after: RunStatus) -> None:
        """A run's status changed: counts the steps that ended, and how long those took that ran."""
        for name, step in after.steps.items():
            old = before.steps.get(name)
            if step.state not in ("Succeeded", "Failed") or (old is not None and old.state == step.state):
                continue
            self.ended.labels(name, step.state).inc()
            if step.cache == "Miss" and step.seconds is not None:
                self.durations.labels(name).observe(step.seconds)

    def record_watch_event(self) -> None:
        """A watch brought something; the first time says that the operator is at work."""
        self._last_event, self.ready = self._clock(), True

    def watch_age(self) -> float:
        """Seconds since then."""
        return self._clock() - self._last_event

    @property
    def alive(self) -> bool:
        """Whether the watches still bring anything (our own Lease is renewed and watched), and every run's changes."""
        return self.watch_age() < STALE_SECONDS and not self.missed_runs

    async def serve(self, port: int) -> web.AppRunner:
        """Begins to answer; the caller cleans up."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()
        return runner

    async def _healthz(self, _: web.Request) -> web.Response:
        told = f"watches heard {self.watch_age():.0f} s ago\n"
        told += "".join(f"the watch of runs misses {namespace}/{name}\n" for namespace, name in self.missed_runs)
        return web.Response(text=told, status=200 if self.alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        return web.Response(text="watches\n" if self.ready else "no watch yet\n", status=200 if self.ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
