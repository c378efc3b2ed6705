"""Builders for step tests: a context over a file store, artifacts to read from, and a small fake of the engine."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import writing
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.task import Leaf, StoreLocation, Task
from selfalign_stages.engine.interface import Completion, Decoding, Request, Scored
from selfalign_stages.step.context import StepContext
from selfalign_stages.step.stopping import Stop
from selfalign_stages.step.store import Store


class Asked(Stop):
    """A stop that is requested by a function instead of a signal."""

    def __init__(self, when: Callable[[], bool]) -> None:
        super().__init__()
        self.requested = when  # type: ignore[method-assign]


def context(
    folder: Path,
    kind: Kind,
    *,
    key: str = "0" * 64,
    parameters: Model | None = None,
    inputs: dict[str, ArtifactRef] | None = None,
    leaves: dict[str, str] | None = None,
    store: Store | None = None,
    seed: int = 7,
    stop_requested: Callable[[], bool] = lambda: False,
    **task: Any,
) -> StepContext:
    """A step's context over a store in `folder`."""
    scratch = folder / "scratch" / kind
    scratch.mkdir(parents=True, exist_ok=True)
    return StepContext(
        task=Task(
            id=f"test-{kind}",
            kind=kind,
            key=key,
            seed=seed,
            store=StoreLocation(uri=(folder / "store").as_uri()),
            parameters=parameters.to_dict() if parameters else {},
            inputs=inputs or {},
            leaves={name: Leaf(uri=uri) for name, uri in (leaves or {}).items()},
            **task,
        ),
        store=store or FileStore(folder / "store"),
        scratch=scratch,
        stop=Asked(stop_requested),
    )


def artifact(folder: Path, kind: Kind, rows: Sequence[Model], *, key: str = "1" * 64) -> ArtifactRef:
    """An artifact of rows, published."""
    made = context(folder, kind, key=key)
    return writing.publish(made, files=writing.row_parts(rows, size=100), counts=writing.count(rows)).ref


@dataclass
class ScriptedEngine:
    """An engine whose completions and scores are functions of what it receives, which it records.

    Attributes:
        answer: the completion of a request; may raise to simulate the end of the process.
        logprob: the score of a continuation after a prompt.
        requests: all requests received, over all streams.
        pairs: all (prompt, continuation) pairs received.
        decodings: one for each stream.
        fresh: for each stream, whether the prefix cache was to be emptied first.
        loaded: names of the models for which a step called `load`.
    """

    answer: Callable[[Request], Completion]
    logprob: Callable[[str, str], float] = lambda prompt, continuation: 0.0
    requests: list[Request] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    decodings: list[Decoding] = field(default_factory=list)
    fresh: list[bool] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """Prompts of all requests."""
        return [request.prompt for request in self.requests]

    def load(self, context: StepContext, *, model: str) -> "ScriptedEngine":
        """See EngineLoader."""
        self.loaded.append(model)
        return self

    def stream(
        self, requests: Iterable[Request], decoding: Decoding, *, fresh: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        """See Engine."""
        self.decodings.append(decoding)
        self.fresh.append(fresh)
        for position, request in enumerate(requests):
            self.requests.append(request)
            yield position, self.answer(request)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """See Engine."""
        self.pairs += pairs
        return [Scored(logprob=self.logprob(p, c), tokens=len(re.findall(r"\w+", c))) for p, c in pairs]


def said(text: str, *, finish: Any = "stop", ended_by_eos: bool = True) -> Completion:
    """A completion."""
    return Completion(text=text, finish_reason=finish, tokens=len(text.split()), ended_by_eos=ended_by_eos)
