"""What both answering steps do: one completion per kept prompt, judged, committed chunk by chunk."""

from collections.abc import Callable

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Counts, Manifest
from selfalign_stages.contract.parameters import AnswersParameters, VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.engine.open_engine import open_engine
from selfalign_stages.step.context import StepContext

CUT = {"length": "cut", "abort": "too-long"}
"""Reject reasons by finish reason: an answer that hit the token limit would teach not to stop (method trap 4)."""


def answer_all(
    context: StepContext,
    *,
    model: str,
    settings: AnswersParameters | VerboseAnswersParameters,
    stop: tuple[str, ...],
    prompt: Callable[[Prompt], str],
    judge: Callable[[Prompt, Completion], Answer],
) -> Manifest:
    """Answers every prompt of the input `prompts`; fails with the counts when too few answers are kept."""
    source = reading.require_manifest(context.store, context.task.inputs["prompts"])
    prompts = list(reading.rows(context.store, source, Prompt))
    chunks = Chunks(context, Answer, total=len(prompts), size=settings.chunk_size)
    done = sum(len(chunks.records(index)) for index in chunks.present())
    context.progress.begin(len(prompts), unit="answers", done=done)
    key, seed = context.task.key, context.task.seed
    generation.run(
        context,
        lambda: open_engine(context, model=model),
        chunks,
        request=lambda n: Request(prompt=prompt(prompts[n]), seed=seed_for(key, prompts[n].id, seed=seed)),
        row=lambda n, completion: judge(prompts[n], completion),
        decoding=Decoding(
            temperature=settings.sampling.temperature,
            top_p=settings.sampling.top_p,
            max_tokens=settings.sampling.max_tokens,
            stop=stop,
        ),
        deterministic=settings.deterministic,
    )
    _, counts = chunks.tally()
    _refuse_empty(counts, stage=context.task.id, limit=settings.max_reject_ratio)
    kept = [row for row in chunks.rows() if row.reject is None]
    tokens = sum(row.tokens for row in kept)
    return chunks.finish(metrics={"meanTokens": round(tokens / len(kept), 1)})


def _refuse_empty(counts: Counts, *, stage: str, limit: float) -> None:
    if counts.kept == 0 or 1 - counts.kept / counts.rows > limit:
        raise BadInput(
            f"{stage}: {counts.rows - counts.kept} of {counts.rows} answers were rejected ({counts.rejected}), "
            f"above maxRejectRatio {limit}; look at the rows in the store, then at the pack or the sampling settings",
            reason="AllRejected",
            counts=counts,
        )
