"""Storages for kopf that store nothing.

kopf keeps the last handled state of an object and the progress of its handlers in annotations, and compares every
event with them, with two deep copies of the object. The handlers here take the key of a run from an event and nothing
else, so all of that is left out.

No access to the API server.
"""

from typing import Any, cast

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last handled state."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Returns an empty essence, instead of a copy of the object without its system fields."""
        return cast(kopf.BodyEssence, {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Returns None: nothing was stored."""
        return None

    def store(self, **_: Any) -> None:
        """Stores nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers no progress of handlers: event handlers have none."""

    def fetch(self, **_: Any) -> None:
        """Returns None: nothing was stored."""

    def store(self, **_: Any) -> None:
        """Stores nothing."""

    def purge(self, **_: Any) -> None:
        """Removes nothing."""

    def touch(self, **_: Any) -> None:
        """Changes nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Returns the essence as it is, instead of a deep copy."""
        return essence
