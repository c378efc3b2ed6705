"""Keeps the work of all runs, so that a reconcile knows who else makes an artifact (`planning.equal_keys`).

In memory and not in a Lease or an object per key: one operator acts at a time, and it plans in one thread, so that
nothing comes between asking who makes an artifact and recording that this run does. What is lost with the process is
read back from the labels of Jobs, which the operator lists and watches anyway.

No access to the API server.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.cluster.client import Object, RunKey
from selfalign_operator.jobs.identity import KEY, RUN, RUN_UID, STEP, STORE
from selfalign_operator.planning import equal_keys
from selfalign_operator.planning.equal_keys import Maker, Making, Place, Work
from selfalign_operator.planning.observation import PREFLIGHT

FINISHED_RUNS = 100
"""Finished runs whose artifacts are remembered. A run whose preflight came too early for them asks within seconds."""


@dataclass(frozen=True)
class _Entry:
    place: Place
    store: str
    work: Work
    refused: frozenset[str] = frozenset()
    """Keys whose Jobs the API server refused when they were last created."""


@dataclass
class EqualKeys:
    """The work of all runs that this operator has planned.

    Attributes:
        wake: reconciles a run, because the artifact that it waits for exists, or is no longer made.
    """

    wake: Callable[[RunKey], None] = lambda key: None
    _entries: dict[RunKey, _Entry] = field(default_factory=dict)
    """In the order in which runs were recorded last: finished ones are dropped from its start."""
    _runs: dict[tuple[str, str], set[RunKey]] = field(default_factory=dict)
    """Runs that make, have made or wait for an artifact, by store and key."""

    def maker_of(self, run: SelfAlignRun) -> Callable[[str, datetime | None], Maker | None]:
        """Returns who else makes an artifact, for one plan of a run (Observed.maker_of)."""
        own, store = _key(run), equal_keys.store_digest(run)

        def maker(key: str, since: datetime | None) -> Maker | None:
            others = (self._entries[name] for name in self._runs.get((store, key), ()) if name != own)
            return equal_keys.choose(run, {entry.place: entry.work for entry in others}, key, since)

        return maker if store else equal_keys.nobody

    def record(self, run: SelfAlignRun, work: Work) -> None:
        """Replaces the work of a run, and wakes the runs that wait for what has changed.

        Call it after the plan without an await in between: another run would otherwise plan the same step.
        """
        store, name = equal_keys.store_digest(run), _key(run)
        if not store:
            return
        refused = _refused(self._entries.get(name), work)
        # Nobody waits for what was refused before: runs whose Jobs are all refused would wake each other in turn.
        tried = {key: replace(work.making[key], pending=equal_keys.REFUSED) for key in refused & {*work.making}}
        made_known = replace(work, making={**work.making, **tried})
        self._replace(name, _Entry(equal_keys.place(run), store, made_known, refused))
        self._drop_finished()

    def forget(self, key: RunKey) -> None:
        """Records that a run is deleted. What it has made stays in the store, and known."""
        entry = self._entries.get(key)
        if entry is not None:
            self._replace(key, replace(entry, work=Work(made=entry.work.made, finished=True)))

    def restore(self, jobs: Iterable[Object]) -> list[RunKey]:
        """Records the Jobs that exist when an operator becomes the leader, before it plans anything.

        Args:
            jobs: metadata of Jobs that have not succeeded.

        Returns:
            Their runs, which have to be reconciled: only a plan shows whether a Job of a step still runs, and whether
            the run that it names exists at all.
        """
        for metadata in (job["metadata"] for job in jobs):
            labels, key = metadata["labels"], metadata.get("annotations", {}).get(KEY)
            if not key or STORE not in labels or labels[STEP] == PREFLIGHT:
                continue
            name = (metadata["namespace"], labels[RUN])
            place = Place(metadata["creationTimestamp"], *name, labels[RUN_UID])
            known = self._entries.get(name, _Entry(place, labels[STORE], Work()))
            making = {**known.work.making, key: Making(labels[STEP])}
            self._replace(name, replace(known, work=replace(known.work, making=making)))
        return list(self._entries)

    def _replace(self, name: RunKey, entry: _Entry) -> None:
        old = self._entries.pop(name, None)
        self._entries[name] = entry
        if old is not None:
            self._unindex(name, old)
        for key in _keys(entry.work):
            self._runs.setdefault((entry.store, key), set()).add(name)
        if old is not None and old.store == entry.store:
            self._wake(name, entry.store, _changed(old.work, entry.work))
        elif old is not None:
            self._wake(name, old.store, set(old.work.making))

    def _unindex(self, name: RunKey, entry: _Entry) -> None:
        for key in _keys(entry.work):
            runs = self._runs[entry.store, key]
            runs.discard(name)
            if not runs:
                del self._runs[entry.store, key]

    def _wake(self, name: RunKey, store: str, keys: Iterable[str]) -> None:
        woken = {
            other
            for key in keys
            for other in self._runs.get((store, key), ())
            if other != name and _concerns(self._entries[other].work, key)
        }
        # in order of age: the oldest plans first, and makes what is no longer made
        for other in sorted(woken, key=lambda one: self._entries[one].place):
            self.wake(other)

    def _drop_finished(self) -> None:
        finished = [name for name, entry in self._entries.items() if entry.work.finished]
        for name in finished[:-FINISHED_RUNS]:
            self._unindex(name, self._entries.pop(name))


def _key(run: SelfAlignRun) -> RunKey:
    return run.metadata.namespace, run.metadata.name


def _refused(old: _Entry | None, new: Work) -> frozenset[str]:
    """Keys that a plan has started, and that have no attempt: what is created exists when the run is planned again."""
    if old is None:
        return frozenset()
    exists = {key for key, making in new.making.items() if not making.starting}
    return (old.refused | {key for key, making in old.work.making.items() if making.starting}) - exists


def _concerns(work: Work, key: str) -> bool:
    """Whether a run waits for an artifact, or has a Job for it which is superfluous once it exists."""
    return key in work.waiting or key in work.making


def _keys(work: Work) -> set[str]:
    return {*work.making, *work.made, *work.waiting}


def _changed(old: Work, new: Work) -> set[str]:
    """Keys that are made now, or no longer being made, or whose Job waits for another reason than before."""
    changed = {key for key, making in old.making.items() if new.making.get(key) != making}
    return changed | {key for key in new.made if key not in old.made}
