"""Which runs use which principle pack in a ConfigMap, so that an edit of a pack reconciles them at once.

Filled from the events of runs and not from the API server: after a restart the first events, one for each run, fill it
again. A run that is gone, or that uses another pack now, is forgotten: the map does not grow with the history of a
cluster.

No access to the API server.
"""

from selfalign_operator.cluster.client import RunKey


class PackUsers:
    """The runs by namespace and name of their pack."""

    def __init__(self) -> None:
        self._pack_of: dict[RunKey, str] = {}
        self._names: dict[tuple[str, str], set[str]] = {}

    def record(self, run: RunKey, pack: str | None) -> None:
        """Takes note of the pack that a run uses now.

        Args:
            run: namespace and name of the run.
            pack: name of the ConfigMap in its namespace; None if it uses none, or is deleted.
        """
        namespace, name = run
        before = self._pack_of.pop(run, None)
        if before is not None:
            users = self._names[namespace, before]
            users.discard(name)
            if not users:
                del self._names[namespace, before]
        if pack is not None:
            self._pack_of[run] = pack
            self._names.setdefault((namespace, pack), set()).add(name)

    def of(self, namespace: str, pack: str) -> tuple[str, ...]:
        """Returns the names of the runs that use a pack."""
        return tuple(sorted(self._names.get((namespace, pack), ())))

    def __len__(self) -> int:
        """The number of packs in use."""
        return len(self._names)
