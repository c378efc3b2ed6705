"""Generates one round of drafts: the raw completions that steps topics and instructions build their lists from.

Both steps show the results of earlier rounds in the prompts of the next one, so a round must be complete and stored
before the next begins. Drafts are stored raw, not parsed: parsing needs the verdicts on earlier rounds, and a resumed
step repeats it at no cost from the drafts, without the engine.
"""

from collections.abc import Callable

from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.rows import Draft
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion
from selfalign_stages.engine.open_engine import LazyEngine
from selfalign_stages.step.context import StepContext


def generate_drafts(
    context: StepContext,
    engine: LazyEngine,
    settings: generation.GenerationSettings,
    *,
    number: int,
    total: int,
    chunk_size: int,
    id_prefix: str,
    prompt: Callable[[int], str],
    seeds: Callable[[int], tuple[str, ...]],
    stop: tuple[str, ...] = (),
    ignore_eos: bool = False,
) -> list[Draft]:
    """Generates what is missing of a round and returns the whole round, in record order.

    Args:
        context: the step.
        engine: shared by all rounds; loaded only if a draft is missing.
        settings: the step's parameters.
        number: of the round, from 1. It enters file names, ids and sampling seeds.
        total: completions of this round.
        chunk_size: completions per commit.
        id_prefix: first part of the drafts' ids, which continue with round and record number.
        prompt: maps the position of a record to its prompt.
        seeds: maps the position of a record to the ids of what its prompt shows, kept with the draft as provenance.
        stop: stop strings.
        ignore_eos: see `Decoding`.
    """
    chunks = Chunks(context, Draft, total=total, size=chunk_size, stem=f"round-{number:02d}")

    def row(record: int, completion: Completion) -> Draft:
        return Draft(
            id=f"{id_prefix}-{number}-{record}",
            seeds=seeds(record),
            text=completion.text,
            finish_reason=completion.finish_reason,
        )

    generation.generate(
        context,
        engine.get,
        chunks,
        settings,
        prompt=prompt,
        seed_name=lambda record: f"{number}-{record}",
        row=row,
        stop=stop,
        ignore_eos=ignore_eos,
    )
    return list(chunks.rows())
