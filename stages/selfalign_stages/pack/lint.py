"""Finds what would spoil a run with a pack, before it runs. Pure; called by preflight and `python -m`."""

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.model import Pack
from selfalign_stages.text import answer_filters, rouge

Counter = Callable[[str], int]
HUMAN_LINES = 300
"""The paper's bound on human annotation."""
PLACEHOLDERS = ("{assistantName}", "{knowledgeCutoff}")


@dataclass(frozen=True)
class Finding:
    """One thing to mend; an error stops a run."""

    severity: Literal["error", "warning"]
    place: str
    message: str


def lint(
    pack: Pack, *, assistant_name: str, count_tokens: Counter | None, context_length: int | None, max_tokens: int
) -> list[Finding]:
    """All findings; the token budget is checked where tokenizer and context length are known."""
    found = [
        *_numbering(pack),
        *_exemplars(pack, assistant_name),
        *_coverage(pack),
        *_texts(pack),
        *_doubles(pack),
        *_identity(pack),
    ]
    lines = annotation_lines(pack)
    if lines >= HUMAN_LINES:
        found.append(Finding("warning", "pack", f"holds {lines} lines of human annotation; the paper needs under 300"))
    if count_tokens and context_length:
        found += _budget(pack, assistant_name, count_tokens, context_length, max_tokens)
    return found


def annotation_lines(pack: Pack) -> int:
    """Lines of human text: principles, three per exemplar turn, frames, identity, question types, seed tasks."""
    turns = sum(len(exemplar.turns) for exemplar in pack.exemplars)
    identity = sum(len(group.questions) + 1 for group in pack.identity)
    frames = len(type(pack.frames).model_fields)
    return len(pack.principles) + 3 * turns + frames + identity + len(pack.question_types) + len(pack.seed_tasks)


def _numbering(pack: Pack) -> Iterator[Finding]:
    numbers = [principle.number for principle in pack.principles]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding("error", "principles.yaml", f"numbers are {numbers}; they must run 1..{len(numbers)} in order")
    for name, times in Tally(principle.name for principle in pack.principles).items():
        if times > 1:
            yield Finding("error", "principles.yaml", f"the name {name!r} stands {times} times")


def _exemplars(pack: Pack, assistant_name: str) -> Iterator[Finding]:
    for e, exemplar in enumerate(pack.exemplars, start=1):
        for t, turn in enumerate(exemplar.turns, start=1):
            named = [pack.principle(rule) for rule in turn.rules]
            text = f"{rendering.thought(turn.thought, named)}\n\n### {assistant_name}\n{turn.answer}"
            parsed = thoughts.parse(text, pack=pack, assistant_name=assistant_name)
            if isinstance(parsed, str) or parsed.rules != tuple(principle.number for principle in named):
                yield Finding("error", f"exemplars.yaml: {e}.{t}", f"its thought does not read back: {parsed}")


def _coverage(pack: Pack) -> Iterator[Finding]:
    shown = {rule for exemplar in pack.exemplars for turn in exemplar.turns for rule in turn.rules}
    for principle in pack.principles:
        if principle.name not in shown:
            yield Finding("warning", "exemplars.yaml", f"no exemplar shows rule {principle.number} ({principle.name})")
    turns = [turn for exemplar in pack.exemplars for turn in exemplar.turns]
    if "ethical" in {p.name for p in pack.principles} and not any(
        "ethical" in turn.rules and answer_filters.refuses(turn.answer) for turn in turns
    ):
        yield Finding("warning", "exemplars.yaml", "no exemplar declines a harmful request under the rule ethical")


def _texts(pack: Pack) -> Iterator[Finding]:
    turns = [turn for exemplar in pack.exemplars for turn in exemplar.turns]
    texts = {
        "principles.yaml": [principle.text for principle in pack.principles],
        "exemplars.yaml": [text for turn in turns for text in (turn.user, turn.thought, turn.answer)],
        "prompts.yaml": list(pack.frames.to_dict().values()),
        "identity.yaml": [text for group in pack.identity for text in (*group.questions, group.answer)],
    }
    for place, found in texts.items():
        for text in found:
            rest = text
            for placeholder in PLACEHOLDERS:
                rest = rest.replace(placeholder, "")
            if "{assistant" in rest or "{knowledge" in rest:
                yield Finding("error", place, f"unknown placeholder in {text[:60]!r}; there are {PLACEHOLDERS}")
            if any(marker in text for marker in ("### ", rendering.EXAMPLE_HEADING, rendering.RULES_CUE)):
                yield Finding("error", place, f"{text[:60]!r} holds a marker of the prompt format")


def _doubles(pack: Pack) -> Iterator[Finding]:
    tasks = [task.instruction for task in pack.seed_tasks]
    for task, double in zip(pack.seed_tasks, rouge.duplicates(tasks, known=[], threshold=0.7), strict=True):
        if double:
            yield Finding(
                "warning", f"seed-tasks.jsonl: {task.id}", "is too near to an earlier one (ROUGE-L above 0.7)"
            )
    for what, names in (("id", [t.id for t in pack.seed_tasks]), ("type", [t.type for t in pack.question_types])):
        for name, times in Tally(names).items():
            if times > 1:
                yield Finding(
                    "error", "seed-tasks.jsonl, question-types.yaml", f"the {what} {name!r} stands {times} times"
                )


def _identity(pack: Pack) -> Iterator[Finding]:
    for number, group in enumerate(pack.identity, start=1):
        if "{assistantName}" not in group.answer:
            yield Finding("warning", f"identity.yaml: {number}", "the answer does not name {assistantName}")


def _budget(
    pack: Pack, assistant_name: str, count_tokens: Counter, context_length: int, max_tokens: int
) -> Iterator[Finding]:
    prefix = count_tokens(rendering.self_align_prefix(pack, assistant_name=assistant_name))
    longest = max(count_tokens(f"{task.instruction}\n\n{task.input}") for task in pack.seed_tasks)
    needed = prefix + longest + max_tokens
    if needed > context_length:
        yield Finding(
            "error",
            "pack",
            f"rules and exemplars take {prefix} tokens, the longest seed query {longest} and an answer {max_tokens}: "
            f"{needed} in all, and the model's context is {context_length}; shorten the pack or lower maxTokens",
        )
