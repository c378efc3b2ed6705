"""Step prompts: merges questions and instructions, filters, deduplicates globally, removes evaluation items."""

from collections.abc import Sequence
from random import Random

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import PromptsParameters
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.evaluation import suites
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack
from selfalign_stages.step.context import StepContext
from selfalign_stages.text import prompt_filters, rouge

CONTAMINATION = 0.7
"""ROUGE-L above which a prompt counts as an evaluation item, whatever the dedup threshold is."""


def run(context: StepContext) -> Manifest:
    """Keeps every record with its verdict; no prompt kept is a failure."""
    settings = PromptsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    questions, instructions = (
        list(reading.rows(context.store, reading.require_manifest(context.store, context.task.inputs[name]), Prompt))
        for name in ("questions", "instructions")
    )
    context.progress.begin(len(questions) + len(instructions), unit="prompts")
    held_out = suites.questions(context.task.leaves, pack) if settings.decontaminate else []
    found = select(questions, instructions, pack=pack, held_out=held_out, settings=settings, seed=context.task.seed)
    counts = writing.count(found)
    if counts.kept == 0:
        raise BadInput(
            f"redTeaming: all {counts.rows} prompts were rejected: {counts.rejected}",
            reason="AllRejected",
            counts=counts,
        )
    context.progress.advance(len(found))
    return writing.publish(context, files=writing.row_parts(found, size=4096), counts=counts)


def select(
    questions: Sequence[Prompt],
    instructions: Sequence[Prompt],
    *,
    pack: Pack,
    held_out: Sequence[str],
    settings: PromptsParameters,
    seed: int,
) -> list[Prompt]:
    """All prompts in a seeded order with their verdicts: filters, contamination, duplicate, over-limit."""
    merged = interleave(questions, instructions, seed=seed)
    merged = [_reject(p, prompt_filters.reject_reason(p.instruction, p.input)) for p in merged]
    merged = _mark(merged, _contaminated(merged, held_out), "contamination")
    known = [task.instruction for task in pack.seed_tasks] + [kind.question for kind in pack.question_types]
    passing = [p.text for p in merged if p.reject is None]
    near = rouge.duplicates(passing, known=known, threshold=settings.dedup_rouge_l)
    merged = _mark(merged, near, "duplicate")
    kept = sum(p.reject is None for p in merged)
    return _mark(merged, [number >= settings.prompts for number in range(kept)], "over-limit")


def interleave(questions: Sequence[Prompt], instructions: Sequence[Prompt], *, seed: int) -> list[Prompt]:
    """Both sources shuffled, then merged in proportion, so that a limit cuts neither of them more than the other."""
    random = Random(seed)
    placed = []
    for source in (questions, instructions):
        shuffled = random.sample(source, len(source))
        placed += [((place + 0.5) / len(source), prompt.source, prompt) for place, prompt in enumerate(shuffled)]
    return [prompt for _, _, prompt in sorted(placed, key=lambda item: item[:2])]


def _contaminated(prompts: Sequence[Prompt], held_out: Sequence[str]) -> list[bool]:
    index = rouge.Index.over([*held_out, *(p.text for p in prompts)], threshold=CONTAMINATION)
    for text in held_out:
        index.add(text)
    return [index.nearest(p.text) is not None for p in prompts if p.reject is None]


def _mark(prompts: Sequence[Prompt], verdicts: Sequence[bool], reason: str) -> list[Prompt]:
    """Rejects those of the passing prompts whose verdict is true."""
    left = iter(verdicts)
    return [_reject(p, reason if p.reject is None and next(left) else None) for p in prompts]


def _reject(prompt: Prompt, reason: str | None) -> Prompt:
    return prompt.model_copy(update={"reject": reason}) if reason and prompt.reject is None else prompt
