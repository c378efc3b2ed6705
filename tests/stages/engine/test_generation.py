"""The loop over chunks: lazy engine, seeds, order of rows, resume, deterministic mode."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.steps_support import ScriptedEngine, context, said

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.exits import Interrupted
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.parameters import AnswersParameters, Sampling
from selfalign_stages.contract.rows import Draft
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.engine.open_engine import LazyEngine

RECORDS, SIZE = 25, 10
KEY = "0" * 64


def upper(request: Request) -> Completion:
    return said(request.prompt.upper())


class ReversedEngine(ScriptedEngine):
    """Completes all requests of a stream in reverse order, as an engine may whose first request is the longest."""

    def stream(
        self, requests: Iterable[Request], decoding: Decoding, *, fresh: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        """See Engine."""
        yield from reversed(list(super().stream(requests, decoding, fresh=fresh)))


def generate(
    folder: Path, engine: ScriptedEngine, *, deterministic: bool = False, stop_after: int | None = None, **task: Any
) -> None:
    """Generates 25 drafts in chunks of 10; `stop_after` requests a stop after that many completions."""
    requested = (lambda: len(engine.requests) > stop_after) if stop_after is not None else (lambda: False)
    step = context(folder, "answers", stop_requested=requested, **task)
    chunks = Chunks(step, Draft, total=RECORDS, size=SIZE)
    generation.generate(
        step,
        LazyEngine(step, model="baseModel", load=engine.load).get,
        chunks,
        AnswersParameters(
            assistant_name="Ida",
            sampling=Sampling(temperature=0.3, top_p=0.8, max_tokens=5),
            deterministic=deterministic,
        ),
        prompt=lambda record: f"Ask {record}",
        seed_name=lambda record: f"p{record}",
        row=lambda record, completion: Draft(id=f"p{record}", text=completion.text, finish_reason="stop"),
        stop=("\n",),
        ignore_eos=True,
    )
    chunks.finish()


def texts(folder: Path) -> list[str]:
    step = context(folder, "answers")
    manifest = reading.require_manifest(step.store, ArtifactRef(kind="answers", key=step.task.key))
    return [row.text for row in reading.rows(step.store, manifest, Draft)]


def test_every_record_is_requested_with_its_own_seed_and_the_settings_of_the_step(tmp_path: Path) -> None:
    engine = ScriptedEngine(upper)
    generate(tmp_path, engine)
    assert engine.requests == [Request(f"Ask {n}", seed_for(KEY, f"p{n}", seed=7)) for n in range(RECORDS)]
    assert engine.decodings == [Decoding(temperature=0.3, top_p=0.8, max_tokens=5, stop=("\n",), ignore_eos=True)]
    assert texts(tmp_path) == [f"ASK {n}" for n in range(RECORDS)]


def test_rows_are_in_record_order_whatever_order_completions_end_in(tmp_path: Path) -> None:
    generate(tmp_path, ReversedEngine(upper))
    assert texts(tmp_path) == [f"ASK {n}" for n in range(RECORDS)]


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_stopped_step_continues_after_its_last_whole_chunk(deterministic: bool, tmp_path: Path) -> None:
    first, second = ScriptedEngine(upper), ScriptedEngine(upper)
    with pytest.raises(Interrupted):
        generate(tmp_path, first, stop_after=14, deterministic=deterministic)
    generate(tmp_path, second, deterministic=deterministic)
    assert second.prompts == [f"Ask {n}" for n in range(10, 25)]
    assert texts(tmp_path) == [f"ASK {n}" for n in range(RECORDS)]


def test_a_step_whose_chunks_are_all_there_loads_no_engine(tmp_path: Path) -> None:
    first, second = ScriptedEngine(upper), ScriptedEngine(upper)
    generate(tmp_path, first)
    generate(tmp_path, second)
    assert (first.loaded, second.loaded) == (["baseModel"], [])


def test_deterministic_mode_starts_every_chunk_from_an_empty_prefix_cache(tmp_path: Path) -> None:
    one_by_one, together = ScriptedEngine(upper), ScriptedEngine(upper)
    generate(tmp_path / "deterministic", one_by_one, deterministic=True)
    generate(tmp_path / "default", together)
    assert one_by_one.fresh == [True] * 3
    assert together.fresh == [False]
    assert one_by_one.loaded == ["baseModel"]


def test_a_lazy_engine_is_loaded_once_for_all_rounds(tmp_path: Path) -> None:
    engine = ScriptedEngine(upper)
    lazy = LazyEngine(context(tmp_path, "topics"), model="baseModel", load=engine.load)
    assert engine.loaded == []
    assert lazy.get() is lazy.get() is engine
    assert engine.loaded == ["baseModel"]


@pytest.mark.parametrize("worker", [0, 1, 2])
def test_a_record_has_the_same_seed_on_whichever_worker_it_is_generated(worker: int, tmp_path: Path) -> None:
    alone, shared = ScriptedEngine(upper), ScriptedEngine(upper)
    generate(tmp_path / "alone", alone)
    generate(tmp_path / "shared", shared, workers=3, worker=worker)
    assert shared.requests[0].prompt == f"Ask {worker * SIZE}"  # its own chunk comes first
    assert set(shared.requests) == set(alone.requests)


def test_sampling_seeds_are_fixed_by_key_record_and_run_seed() -> None:
    # Golden value: another one would resample every record of every run, and needs a new version of all steps.
    assert seed_for(KEY, "1-0", seed=7) == 1051620010
    assert len({seed_for(key, "1-0", seed=seed) for key in (KEY, "1" * 64) for seed in (7, 8)}) == 4
    seeds = {seed_for(KEY, f"p{n}", seed=7) for n in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
