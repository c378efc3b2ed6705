"""An engine that is loaded at its first use: a resumed step whose completions are all there never loads one."""

from collections.abc import Callable

from selfalign_stages.engine.interface import Engine


class Lazy:
    """Holds the engine once it is loaded."""

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """The engine."""
        if self._engine is None:
            self._engine = self._load()
        return self._engine
