"""Reads a completion under the self-align prompt: an internal thought that names rules, then the answer."""

import re
from dataclasses import dataclass

from selfalign_stages.chat import assistant_heading
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import RULES_CUE

RULE = re.compile(r"(\d+)\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)")


@dataclass(frozen=True)
class ParsedAnswer:
    """A well-formed completion; `rules` are principle numbers in the order of the thought."""

    thought: str
    rules: tuple[int, ...]
    answer: str


def parse(text: str, *, pack: Pack, assistant_name: str) -> ParsedAnswer | str:
    """The parts of a completion, or the reason why it has none: no-answer, no-rules, unknown-rule, empty.

    `text` starts right after the open thoughts heading. Engines may begin it with a blank: it is stripped first.
    """
    thought, heading, answer = text.strip().partition(f"\n{assistant_heading(assistant_name)}\n")
    if not heading:
        return "no-answer"
    thought, answer = thought.strip(), answer.strip()
    _, cue, listed = thought.rpartition(RULES_CUE)
    named = RULE.findall(listed)
    if not cue or not named:
        return "no-rules"
    known = {principle.number: principle.name for principle in pack.principles}
    if any(known.get(int(number[:6])) != name.strip() for number, name in named):
        return "unknown-rule"
    if not answer:
        return "empty"
    return ParsedAnswer(thought=thought, rules=tuple(int(number) for number, _ in named), answer=answer)
