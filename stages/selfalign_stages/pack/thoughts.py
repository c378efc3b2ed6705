"""Parses a completion under the self-align prompt: an internal thought that cites rules, then the answer."""

import re
from dataclasses import dataclass

from selfalign_stages.chat import assistant_heading
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import RULES_CUE

RULE = re.compile(r"(?<![0-9])([0-9]++)\s*+\(([^()]*+(?:\([^()]*+\))?+[^()]*+)\)")
"""A citation such as `14 (balanced & informative perspectives)`; a name may contain one pair of parentheses.

Possessive quantifiers, and a match that begins at the first digit only, keep the search linear: models loop, and a
thought of 20,000 digits took seconds without them. [0-9], because `\\d` matches the digits of every script.
"""


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
    rules = tuple(_number(digits, largest=max(names)) for digits, _ in cited)
    # Number and name must agree: a wrong pair shows that the model invents rules instead of applying them.
    if any(names.get(rule) != name.strip() for rule, (_, name) in zip(rules, cited, strict=True)):
        return "unknown-rule"
    if not answer:
        return "empty"
    return ParsedAnswer(thought=thought, rules=rules, answer=answer)


def _number(digits: str, *, largest: int) -> int:
    """The number of a rule; 0, which no rule has, if there are more digits than in the largest number of the pack.

    Models that loop write thousands of digits, which Python refuses to convert, and leading zeros.
    """
    return int(digits) if len(digits) <= len(str(largest)) else 0
