"""The loop that both answering steps share: completions for every kept prompt, judged and committed chunk by chunk.

Rejected answers stay in the artifact with their reason. A filter that rejects too much is the usual way in which
self-alignment fails on a new base model, and only the rows show why.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import AnswersParameters, VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.engine.open_engine import LazyEngine
from selfalign_stages.step.context import StepContext

UNFINISHED = {"length": "cut", "abort": "too-long"}
"""Reject reasons by finish reason. A cut answer is never trained on: its text ends anywhere, and a model trained on it
learns to stop in the middle or to ramble. Whether an answer is complete follows from the finish reason alone; a text
that seems complete may still have been cut."""

Metrics = Callable[[Sequence[Answer]], dict[str, float]]
"""Computes a step's metrics from all of its rows, of which at least one is kept."""
Selection = Callable[[Sequence[Answer]], list[Answer]]
"""Makes the rows of the artifact, one per prompt, from all samples; those of one prompt follow each other."""


def answer_all(
    context: StepContext,
    *,
    engine: LazyEngine,
    settings: AnswersParameters | VerboseAnswersParameters,
    field: str,
    prompt: Callable[[Prompt], str],
    judge: Callable[[Prompt, Completion], Answer],
    metrics: Metrics,
    stop: tuple[str, ...],
    samples: int = 1,
    attempts: int = 1,
    select: Selection | None = None,
    grammar: str | None = None,
) -> Manifest:
    """Answers every kept prompt of the input `prompts` and publishes the answers with their verdicts.

    Args:
        context: the step.
        engine: the model that answers; not loaded if all chunks are committed.
        settings: decoding, chunk size and highest fraction of rejected answers.
        field: path of these settings in the manifest of the run, for error messages.
        prompt: renders the whole text that the model continues.
        judge: turns a completion into a row, with a reason if it is rejected.
        metrics: computes the step's metrics, besides the mean length.
        stop: strings that end a completion.
        samples: completions per prompt.
        attempts: generations of a prompt whose answer is rejected, the first included; the first sound one is kept.
        select: makes the final rows from the samples; None: every sample is one.
        grammar: EBNF that completions follow; None: none.

    Raises:
        BadInput: the fraction of rejected answers exceeds the limit, or none is kept (reason YieldTooLow). Nothing is
            published, but the chunks stay in the store for inspection.
        Interrupted: SIGTERM arrived; a rerun continues after the committed chunks.
    """
    manifest = reading.require_manifest(context.store, context.task.inputs["prompts"])
    prompts = list(reading.rows(context.store, manifest, Prompt))
    key, seed = context.task.key, context.task.seed
    decoding = Decoding.from_sampling(settings.sampling, stop=stop)

    def name(record: int) -> str:
        id_, sample = prompts[record // samples].id, record % samples
        return f"{id_}/{sample}" if sample else id_

    def generate(records: Sequence[int], *, stem: str, suffix: str = "") -> Chunks[Answer]:
        chunks = Chunks(context, Answer, total=len(records), size=settings.chunk_size * samples, stem=stem)
        context.progress.begin(len(records), unit="answers", done=generation.committed_records(chunks))
        generation.run(
            context,
            engine.get,
            chunks,
            request=lambda position: Request(
                prompt=prompt(prompts[records[position] // samples]),
                seed=seed_for(key, name(records[position]) + suffix, seed=seed),
            ),
            row=lambda position, completion: judge(prompts[records[position] // samples], completion).model_copy(
                update={"id": name(records[position])}
            ),
            decoding=decoding if grammar is None else replace(decoding, grammar=grammar),
            deterministic=settings.deterministic,
        )
        return chunks

    # What rows are chosen from is an intermediate result: the artifact has the chosen rows under other names.
    chosen = select is not None or attempts > 1
    chunks = generate(range(len(prompts) * samples), stem="sample" if chosen else "part")
    rows = list(chunks.rows())
    for number in range(2, attempts + 1):
        again = [record for record, row in enumerate(rows) if row.reject is not None and row.finish_reason != "abort"]
        if not again:
            break
        for record, row in zip(
            again, generate(again, stem=f"attempt-{number:02d}", suffix=f"/{number}").rows(), strict=True
        ):
            if row.reject is None:  # otherwise the first reason stands
                rows[record] = row
    if select is not None:
        rows = select(rows)
    counts = writing.count(rows)
    _require_kept(counts, step=context.task.id, limit=settings.max_reject_ratio, field=field)
    measured = metrics(rows) | {"meanTokens": round(_mean_tokens(rows), 1)}
    if not chosen:
        return chunks.finish(metrics=measured)
    parts = writing.row_parts(rows, size=settings.chunk_size)
    return writing.publish(context, files=parts, counts=counts, metrics=measured)


def _mean_tokens(rows: Sequence[Answer]) -> float:
    kept = [row.tokens for row in rows if row.reject is None]
    return sum(kept) / len(kept)


def _require_kept(counts: Counts, *, step: str, limit: float, field: str) -> None:
    """Raises BadInput if no answer is kept, or the fraction of rejected answers exceeds `limit`."""
    if counts.kept == 0 or 1 - counts.kept / counts.rows > limit:
        reasons = ", ".join(f"{reason} {number}" for reason, number in counts.rejected.items())
        raise BadInput(
            f"{step}: {counts.rows - counts.kept} of {counts.rows} answers were rejected ({reasons}), limit "
            f"{100 * limit:g} % ({field}.maxRejectRatio). The rows are in the store. Usual causes: the model is too "
            f"small to follow the prompt (no-answer, no-rules, malformed-thought), or {field}.maxTokens is too low "
            "(cut)",
            reason="YieldTooLow",
            counts=counts,
        )
