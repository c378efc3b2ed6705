"""The loop that both answering steps share: one completion per kept prompt, judged and committed chunk by chunk.

Rejected answers stay in the artifact with their reason. A filter that rejects too much is the usual way in which
self-alignment fails on a new base model, and only the rows show why.
"""

from collections.abc import Callable

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.counts import Counts
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import AnswersParameters, VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion
from selfalign_stages.engine.open_engine import EngineLoader, LazyEngine
from selfalign_stages.pack import rendering
from selfalign_stages.step.context import StepContext

UNFINISHED = {"length": "cut", "abort": "too-long"}
"""Reject reasons by finish reason. A cut answer is never trained on: its text ends anywhere, and a model trained on it
learns to stop in the middle or to ramble. Whether an answer is complete follows from the finish reason alone; a text
that seems complete may still have been cut."""


def answer_all(
    context: StepContext,
    *,
    model: str,
    load: EngineLoader,
    settings: AnswersParameters | VerboseAnswersParameters,
    field: str,
    prompt: Callable[[Prompt], str],
    judge: Callable[[Prompt, Completion], Answer],
) -> Manifest:
    """Answers every kept prompt of the input `prompts` and publishes the answers with their verdicts.

    Args:
        context: the step.
        model: name of the step's input with the model that answers.
        load: loads that model; not called if all chunks are committed.
        settings: decoding, chunk size and highest fraction of rejected answers.
        field: path of these settings in the manifest of the run, for error messages.
        prompt: renders the whole text that the model continues.
        judge: turns a completion into a row, with a reason if it is rejected.

    Raises:
        BadInput: the fraction of rejected answers exceeds the limit, or none is kept (reason AllRejected). Nothing is
            published, but the chunks stay in the store for inspection.
        Interrupted: SIGTERM arrived; a rerun continues after the committed chunks.
    """
    manifest = reading.require_manifest(context.store, context.task.inputs["prompts"])
    prompts = list(reading.rows(context.store, manifest, Prompt))
    chunks = Chunks(context, Answer, total=len(prompts), size=settings.chunk_size)
    context.progress.begin(len(prompts), unit="answers", done=generation.committed_records(chunks))
    generation.generate(
        context,
        LazyEngine(context, model=model, load=load).get,
        chunks,
        settings,
        prompt=lambda record: prompt(prompts[record]),
        seed_name=lambda record: prompts[record].id,
        row=lambda record, completion: judge(prompts[record], completion),
        stop=rendering.stop_strings(),
    )
    _, counts = chunks.tally()
    _require_kept(counts, step=context.task.id, limit=settings.max_reject_ratio, field=field)
    kept = [row for row in chunks.rows() if row.reject is None]
    tokens = sum(row.tokens for row in kept)
    return chunks.finish(metrics={"meanTokens": round(tokens / len(kept), 1)})


def _require_kept(counts: Counts, *, step: str, limit: float, field: str) -> None:
    """Raises BadInput if no answer is kept, or the fraction of rejected answers exceeds `limit`."""
    if counts.kept == 0 or 1 - counts.kept / counts.rows > limit:
        reasons = ", ".join(f"{reason} {number}" for reason, number in counts.rejected.items())
        raise BadInput(
            f"{step}: {counts.rows - counts.kept} of {counts.rows} answers were rejected ({reasons}), limit "
            f"{100 * limit:g} % ({field}.maxRejectRatio). The rows are in the store. Usual causes: the model is too "
            f"small to follow the prompt (no-answer, no-rules), or {field}.maxTokens is too low (cut)",
            reason="AllRejected",
            counts=counts,
        )
