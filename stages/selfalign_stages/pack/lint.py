"""Checks a valid pack for what would spoil a run: mistakes that the schema cannot express. Pure.

Preflight and `selfalign principles lint` run it, since a pack that is merely well-formed may cost hours of GPU time
before anyone notices, for instance because every answer that imitates an exemplar is rejected as malformed.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from selfalign_stages.chat import assistant_heading
from selfalign_stages.contract import strict_json
from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.lint_language import language_messages
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.stated_limits import states_limit
from selfalign_stages.text import refusals, rouge

TokenCounter = Callable[[str], int]
"""Number of tokens of a text in the base model's tokenizer."""
HUMAN_LINES = 300
"""The paper's bound on human annotation ("fewer than 300 lines", abstract)."""
NEAR_DUPLICATE = 0.7
"""ROUGE-L above which two seed tasks are near duplicates: the bound of Self-Instruct."""
MOST_LIMITS = 0.5
"""Share of exemplar turns that state a limit above which a pack is out of balance. With
six of eight, Gemma 3 270M kept 8 of 13 limits and answered 2 of 11 plain questions; with 5 of 14, it kept 5 and
answered 6."""
EXCERPT = 60
"""Characters of a pack's text in a message: enough to find it in the file."""
PLACEHOLDERS = ("{assistantName}", "{knowledgeCutoff}")


@dataclass(frozen=True)
class Finding:
    """One result of the linter.

    Attributes:
        severity: an error stops a run, a warning does not.
        place: file of the pack, with the number or id of the entry.
        message: what is wrong and how to correct it.
    """

    severity: Literal["error", "warning"]
    place: str
    message: str


def lint(
    pack: Pack, *, assistant_name: str, count_tokens: TokenCounter | None, context_length: int | None, max_tokens: int
) -> list[Finding]:
    """Runs all checks.

    Args:
        pack: a valid, whole pack.
        assistant_name: name to fill in; a longer one takes more tokens.
        count_tokens: the base model's tokenizer. None: the token budget is not checked.
        context_length: tokens that the base model attends to. None: the token budget is not checked.
        max_tokens: new tokens per answer.

    Returns:
        Errors and warnings, in the order of the checks.
    """
    findings = [
        *_numbering(pack),
        *_exemplars(pack, assistant_name),
        *_coverage(pack),
        *_balance(pack),
        *_expected_limits(pack),
        *(Finding("warning", "pack.yaml", message) for message in language_messages(pack)),
        *_texts(pack),
        *_duplicates(pack),
        *_suites(pack),
        *_identity(pack),
    ]
    lines = annotation_lines(pack)
    if lines >= HUMAN_LINES:
        message = f"contains {lines} lines of human annotation; the paper needs fewer than {HUMAN_LINES}"
        findings.append(Finding("warning", "pack", message))
    if count_tokens and context_length:
        findings += _budget(pack, assistant_name, count_tokens, context_length, max_tokens)
    return findings


def annotation_lines(pack: Pack) -> int:
    """Counts lines of human annotation as the paper does, one per text.

    These are principles, the two or three texts of every exemplar turn, prompt texts, identity questions and
    answers, question types with their prompts and answers, and seed tasks. Evaluation suites do not count: nothing is
    trained on them.
    """
    turns = sum(2 + (turn.thought is not None) for turn in pack.turns)
    identity = sum(len(group.questions) + 1 for group in pack.identity)
    frames = len(type(pack.frames).model_fields)
    prompts = sum(len(kind.prompts) + (kind.answer is not None) for kind in pack.question_types)
    return len(pack.principles) + turns + frames + identity + len(pack.question_types) + prompts + len(pack.seed_tasks)


def _numbering(pack: Pack) -> Iterator[Finding]:
    # Thoughts cite numbers; a hole would make the model cite a number that no rule has.
    numbers = [principle.number for principle in pack.principles]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding("error", "principles.yaml", f"numbers are {numbers}; they must run 1..{len(numbers)} in order")
    for name, times in Counter(principle.name for principle in pack.principles).items():
        if times > 1:
            yield Finding("error", "principles.yaml", f"the name {name!r} occurs {times} times; names must be unique")


def _exemplars(pack: Pack, assistant_name: str) -> Iterator[Finding]:
    """Exemplars must pass the parser of step answers, or answers that imitate them are all rejected."""
    for number, exemplar in enumerate(pack.exemplars, start=1):
        for turn_number, turn in enumerate(exemplar.turns, start=1):
            place = f"exemplars.yaml: {number}.{turn_number}"
            if turn.thought is None:
                if pack.has_thoughts:
                    message = "has no thought, and other turns have one: give all turns of the pack a thought, or none"
                    yield Finding("error", place, message)
                continue
            if not turn.rules:
                yield Finding("error", place, "its thought cites no rule: add rules, or remove the thought")
                continue
            cited = [pack.principle(rule) for rule in turn.rules]
            text = f"{rendering.thought(turn.thought, cited)}\n\n{assistant_heading(assistant_name)}\n{turn.answer}"
            parsed = thoughts.parse(text, pack=pack, assistant_name=assistant_name)
            if isinstance(parsed, str) or parsed.rules != tuple(principle.number for principle in cited):
                yield Finding("error", place, f"its thought does not read back: {parsed}")


def _coverage(pack: Pack) -> Iterator[Finding]:
    """A base model applies rules as the exemplars do; one that no exemplar shows is cited rarely."""
    shown = {rule for turn in pack.turns for rule in turn.rules}
    for principle in pack.principles:
        if principle.name not in shown:
            yield Finding("warning", "exemplars.yaml", f"no exemplar shows rule {principle.number} ({principle.name})")
    # The paper's exemplars contain no harmful request: declining then rests on the rule's text alone.
    if "ethical" in {p.name for p in pack.principles} and not any(
        "ethical" in turn.rules and refusals.refuses(turn.answer, language=pack.header.language) for turn in pack.turns
    ):
        yield Finding("warning", "exemplars.yaml", "no exemplar declines a harmful request under the rule ethical")


def _balance(pack: Pack) -> Iterator[Finding]:
    """Exemplars that show limits mostly teach a small model to refuse everything, and none teach it to invent."""
    limits = sum(states_limit(turn.answer, language=pack.header.language) for turn in pack.turns)
    helping = len(pack.turns) - limits
    counted = f"{limits} of {len(pack.turns)} exemplar turns state a limit and {helping} help"
    if not limits:
        remedy = "add some that decline, say what the assistant does not know, or ask back, or it will make things up"
        yield Finding("warning", "exemplars.yaml", f"{counted}: {remedy}")
    elif limits > MOST_LIMITS * len(pack.turns):
        yield Finding("warning", "exemplars.yaml", f"{counted}: add some that help, or it will refuse everything")
    if limits and pack.has_thoughts and not any(principle.limits for principle in pack.principles):
        message = "no principle has limits: true, so that every refusal is rejected as unjustified: set it for some"
        yield Finding("warning", "principles.yaml", message)


def _expected_limits(pack: Pack) -> Iterator[Finding]:
    """A type that calls for a limit is answered under its rules alone: one of them has to know limits, and be shown."""
    limits = {principle.name for principle in pack.principles if principle.limits}
    shown = {rule for turn in pack.turns for rule in turn.rules}
    for kind in pack.question_types:
        if kind.limit == "expected" and kind.rules and not limits & shown & set(kind.rules):
            message = (
                f"type {kind.type[:EXCERPT]!r} expects a limit, and none of its rules {list(kind.rules)} has limits: "
                "true and an exemplar; name a rule that has both, or leave rules out"
            )
            yield Finding("warning", "question-types.yaml", message)
        limited = kind.answer is not None and states_limit(kind.answer, language=pack.header.language)
        if kind.answer is not None and (kind.limit, limited) in {("expected", False), ("never", True)}:
            wrong = "states none" if kind.limit == "expected" else "states one"
            message = f"type {kind.type[:EXCERPT]!r} has limit: {kind.limit}, and its answer {wrong}: correct either"
            yield Finding("warning", "question-types.yaml", message)


def _suites(pack: Pack) -> Iterator[Finding]:
    """An item that resembles an exemplar or a seed task measures memory, not what the model learned."""
    known = [turn.user for turn in pack.turns] + [task.instruction for task in pack.seed_tasks]
    known += [text for kind in pack.question_types for text in (kind.question, *kind.prompts)]
    for name, text in pack.suites.items():
        items = [item for item in _limits_items(name, text) if isinstance(item.get("prompt"), str)]
        index = rouge.Index.over([*known, *(item["prompt"] for item in items)], threshold=NEAR_DUPLICATE)
        for query in known:
            index.add(query)
        for item in items:
            if (nearest := index.nearest(item["prompt"])) is not None:
                message = f"is a near duplicate of {known[nearest][:EXCERPT]!r} (ROUGE-L above {NEAR_DUPLICATE})"
                yield Finding("warning", f"{name}: {item.get('id')}", message)


def _limits_items(name: str, text: str) -> list[dict[str, Any]]:
    """The items of a suite of format limits; none of other formats, or where preflight's reader will find mistakes."""
    if not name.endswith(".jsonl"):
        return []
    try:
        items = [strict_json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError:
        return []
    return [item for item in items if isinstance(item, dict) and "expect" in item]


def _texts(pack: Pack) -> Iterator[Finding]:
    """Texts must not contain misspelt placeholders, which would reach the prompt, or strings of the prompt format."""
    texts: dict[str, list[str]] = {
        "principles.yaml": [principle.text for principle in pack.principles],
        "exemplars.yaml": [
            text for turn in pack.turns for text in (turn.user, turn.thought, turn.answer) if text is not None
        ],
        "prompts.yaml": list(pack.frames.to_dict().values()),
        "question-types.yaml": [kind.answer for kind in pack.question_types if kind.answer is not None],
        "identity.yaml": [text for group in pack.identity for text in (*group.questions, group.answer)],
    }
    markers = ("### ", rendering.EXAMPLE_HEADING, rendering.RULES_CUE)
    for place, place_texts in texts.items():
        for text in place_texts:
            rest = text
            for placeholder in PLACEHOLDERS:
                rest = rest.replace(placeholder, "")
            # Other braces are fine: texts may show code.
            if "{assistant" in rest or "{knowledge" in rest:
                yield Finding("error", place, f"unknown placeholder in {text[:EXCERPT]!r}; there are {PLACEHOLDERS}")
            if any(marker in text for marker in markers):
                message = f"{text[:EXCERPT]!r} contains one of the prompt format's markers {markers}; reword it"
                yield Finding("error", place, message)


def _duplicates(pack: Pack) -> Iterator[Finding]:
    """Near-equal seed tasks narrow what self-instruct invents; equal ids or types make records collide."""
    instructions = [task.instruction for task in pack.seed_tasks]
    verdicts = rouge.duplicates(instructions, known=[], threshold=NEAR_DUPLICATE)
    for task, is_duplicate in zip(pack.seed_tasks, verdicts, strict=True):
        if is_duplicate:
            message = f"is a near duplicate of an earlier one (ROUGE-L above {NEAR_DUPLICATE})"
            yield Finding("warning", f"seed-tasks.jsonl: {task.id}", message)
    for what, names in (("id", [t.id for t in pack.seed_tasks]), ("type", [t.type for t in pack.question_types])):
        for name, times in Counter(names).items():
            if times > 1:
                message = f"the {what} {name!r} occurs {times} times; make each unique"
                yield Finding("error", "seed-tasks.jsonl, question-types.yaml", message)


def _identity(pack: Pack) -> Iterator[Finding]:
    for number, group in enumerate(pack.identity, start=1):
        # The name of the run's assistant must come from the run, or every assistant would introduce itself by one name.
        if "{assistantName}" not in group.answer:
            yield Finding("warning", f"identity.yaml: {number}", "the answer does not name {assistantName}")


def _budget(
    pack: Pack, assistant_name: str, count_tokens: TokenCounter, context_length: int, max_tokens: int
) -> Iterator[Finding]:
    """Prefix, query and answer must fit the context. The longest seed query stands for those to be generated."""
    prefix = count_tokens(rendering.self_align_prefix(pack, assistant_name=assistant_name))
    longest = max(count_tokens(f"{task.instruction}\n\n{task.input}") for task in pack.seed_tasks)
    needed = prefix + longest + max_tokens
    if needed > context_length:
        yield Finding(
            "error",
            "pack",
            f"rules and exemplars take {prefix} tokens, the longest seed query {longest} and an answer {max_tokens}: "
            f"{needed} in all, and the context window is {context_length}; shorten the pack, lower maxTokens, or raise "
            "spec.engine.contextLength if the model's own context is longer",
        )
