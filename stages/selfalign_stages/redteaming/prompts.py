"""Step prompts: merges questions, instructions and prompts of one's own, filters and deduplicates them across all
sources, and removes evaluation items.

Deduplication is exact and global: all pairs by ROUGE-L, not per shard, so that near-duplicates cannot survive by
lying in different shards, and not by MinHash, which would lose some of them at random. Every record stays in the
artifact with its verdict, so that the counts by reason can be traced to rows.
"""

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
from selfalign_stages.redteaming import own_prompts
from selfalign_stages.step.context import StepContext
from selfalign_stages.text import prompt_filters, rouge

CONTAMINATION = 0.7
"""ROUGE-L F-measure above which a prompt counts as an evaluation item. Fixed, unlike the dedup threshold: a user who
allows more similar prompts must not train on the suites by that."""


def run(context: StepContext) -> Manifest:
    """Publishes every prompt with its verdict.

    Raises:
        BadInput: no prompt is kept (reason YieldTooLow, with the counts by reason).
    """
    settings = PromptsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    questions, instructions = (_read_input(context, name) for name in ("questions", "instructions"))
    own = own_prompts.read(context.task, scratch=context.scratch)
    context.progress.begin(len(questions) + len(instructions) + sum(map(len, own)), unit="prompts")
    held_out = suites.held_out_questions(context.task.leaves, pack) if settings.decontaminate else []
    prompts = select(
        questions, instructions, own, pack=pack, held_out=held_out, settings=settings, seed=context.task.seed
    )
    counts = writing.count(prompts)
    if counts.kept == 0:
        reasons = ", ".join(f"{reason} {number}" for reason, number in counts.rejected.items())
        raise BadInput(
            f"redTeaming: all {counts.rows} prompts were rejected ({reasons}). The rows of steps questions and "
            "instructions show what the base model wrote; a larger base model, or a higher "
            "stages.redTeaming.dedupRougeL where duplicates prevail, keeps more",
            reason="YieldTooLow",
            counts=counts,
        )
    context.progress.advance(len(prompts))
    return writing.publish(context, files=writing.row_parts(prompts, size=4096), counts=counts)


def select(
    questions: Sequence[Prompt],
    instructions: Sequence[Prompt],
    own: Sequence[Sequence[Prompt]] = (),
    *,
    pack: Pack,
    held_out: Sequence[str],
    settings: PromptsParameters,
    seed: int,
) -> list[Prompt]:
    """Judges all prompts in a seeded order.

    The order of the checks matters: evaluation items are removed before deduplication, or a kept one could displace
    its harmless near-duplicate; limits come last, so that they count prompts that are really kept. Sources are judged
    one after the other: what is over the share of one displaces nothing in the next.

    Args:
        questions: kept rows of step questions.
        instructions: kept rows of step instructions.
        own: prompts of one's own, by file. The quality filters, which are for what a model wrote, do not apply.
        pack: its seed tasks and seed questions count as earlier prompts; prompts of its question types come first.
        held_out: questions of the evaluation suites; empty without decontamination.
        settings: limits of prompts and dedup threshold.
        seed: `spec.seed` of the run; it alone determines the order.

    Returns:
        All prompts, each kept or with one reason: a filter's, "contamination", "duplicate", "over-share" or
        "over-limit".
    """
    known = [task.instruction for task in pack.seed_tasks] + [kind.question for kind in pack.question_types]
    judged: list[Prompt] = []

    def judge(prompts: Sequence[Prompt]) -> list[Prompt]:
        marked = _mark(prompts, _contaminated(prompts, held_out), "contamination")
        earlier = [*known, *_passing(judged)]
        return _mark(
            marked, rouge.duplicates(_passing(marked), known=earlier, threshold=settings.dedup_rouge_l), "duplicate"
        )

    judged += judge(by_hand(pack))
    for number, (source, limit) in enumerate(zip(own, settings.own_prompts or (), strict=True)):
        shuffled = Random(f"own-{number}-{seed}").sample(source, len(source))
        judged += _cut(judge(shuffled), limit, "over-share")
    generated = interleave(questions, instructions, seed=seed)
    language = pack.header.language
    judged += judge(
        [_reject(p, prompt_filters.reject_reason(p.instruction, p.input, language=language)) for p in generated]
    )
    return _cut(judged, settings.prompts, "over-limit")


def by_hand(pack: Pack) -> list[Prompt]:
    """Returns the prompts of the question types. A weak base drifts away from a type, and these do not."""
    return [
        Prompt(id=f"seed-{position}-{number}", instruction=text, source="seed", type=kind.type, topic=kind.topic)
        for position, kind in enumerate(pack.question_types)
        for number, text in enumerate(kind.prompts)
    ]


def interleave(questions: Sequence[Prompt], instructions: Sequence[Prompt], *, seed: int) -> list[Prompt]:
    """Shuffles both sources and merges them in proportion, so that a limit cuts neither more than the other.

    Args:
        questions: the topic-guided source.
        instructions: the self-instruct source.
        seed: of the shuffles.
    """
    random = Random(seed)
    placed = []
    for source in (questions, instructions):
        shuffled = random.sample(source, len(source))
        # Record i of n goes to position (i + 1/2) / n on the scale from 0 to 1 that both sources share.
        placed += [((place + 0.5) / len(source), prompt.source, prompt) for place, prompt in enumerate(shuffled)]
    return [prompt for _, _, prompt in sorted(placed, key=lambda item: item[:2])]


def _read_input(context: StepContext, name: str) -> list[Prompt]:
    """Rows of a generating step; none where prompts of one's own have all shares, and the run has no such step."""
    if name not in context.task.inputs:
        return []
    manifest = reading.require_manifest(context.store, context.task.inputs[name])
    return list(reading.rows(context.store, manifest, Prompt))


def _contaminated(prompts: Sequence[Prompt], held_out: Sequence[str]) -> list[bool]:
    """Returns for every prompt that still passes whether it resembles an evaluation item."""
    # Prompts are compared with evaluation items only and not added: their own duplicates are the next check.
    index = rouge.Index.over([*held_out, *(p.text for p in prompts)], threshold=CONTAMINATION)
    for text in held_out:
        index.add(text)
    return [index.nearest(p.text) is not None for p in prompts if p.reject is None]


def _passing(prompts: Sequence[Prompt]) -> list[str]:
    return [prompt.text for prompt in prompts if prompt.reject is None]


def _cut(prompts: Sequence[Prompt], limit: int, reason: str) -> list[Prompt]:
    """Rejects the passing prompts after the first `limit` of them."""
    return _mark(prompts, [number >= limit for number in range(len(_passing(prompts)))], reason)


def _mark(prompts: Sequence[Prompt], verdicts: Sequence[bool], reason: str) -> list[Prompt]:
    """Rejects the passing prompts whose verdict is true; `verdicts` has one entry per passing prompt, in order."""
    remaining = iter(verdicts)
    return [_reject(p, reason if p.reject is None and next(remaining) else None) for p in prompts]


def _reject(prompt: Prompt, reason: str | None) -> Prompt:
    """Returns the prompt with a reject reason, unless it has one: the first check that fails is the one recorded."""
    return prompt.model_copy(update={"reject": reason}) if reason and prompt.reject is None else prompt
