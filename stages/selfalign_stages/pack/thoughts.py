"""Parses a completion under the self-align prompt: an internal thought that cites rules, then the answer."""

import re
from dataclasses import dataclass

from selfalign_stages.chat import assistant_heading
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import RULES_CUE

RULE = re.compile(r"(\d+)\s*\(([^()]*(?:\([^()]*\))?[^()]*)\)")
"""A citation such as `14 (balanced & informative perspectives)`; a name may contain one pair of parentheses."""
LONGEST_NUMBER = 6
"""Digits of a rule number that are read: a model that loops in digits must not make Python parse thousands of them."""


@dataclass(frozen=True)
class ParsedAnswer:
    """A well-formed completion.

    Attributes:
        thought: the thought without surrounding blanks, citations included.
        rules: numbers of the cited principles, in the order of the thought.
        answer: the answer without surrounding blanks.
    """

    thought: str
    rules: tuple[int, ...]
    answer: str


def parse(text: str, *, pack: Pack, assistant_name: str) -> ParsedAnswer | str:
    """Splits a completion into thought and answer, and checks the citations.

    Args:
        text: what the model generated right after the heading of an open thought. Engines differ in whether it begins
            with a blank, because tokenizers join it to the first word; it is stripped, so that none rejects all rows.
        pack: the pack whose principles may be cited.
        assistant_name: name in the heading of the answer.

    Returns:
        The parts, or the reject reason: no-answer (no heading of an answer), no-rules (no citation), unknown-rule (a
        number and name that are no principle of the pack) or empty (nothing after the heading).
    """
    thought, heading, answer = text.strip().partition(f"\n{assistant_heading(assistant_name)}\n")
    if not heading:
        return "no-answer"
    thought, answer = thought.strip(), answer.strip()
    # The last cue: a classification may quote the words before.
    _, cue, listed = thought.rpartition(RULES_CUE)
    cited = RULE.findall(listed)
    if not cue or not cited:
        return "no-rules"
    names = {principle.number: principle.name for principle in pack.principles}
    # Number and name must agree: a wrong pair shows that the model invents rules instead of applying them.
    if any(names.get(int(number[:LONGEST_NUMBER])) != name.strip() for number, name in cited):
        return "unknown-rule"
    if not answer:
        return "empty"
    return ParsedAnswer(thought=thought, rules=tuple(int(number) for number, _ in cited), answer=answer)
