"""Internal thoughts: whether a run has them, and how a completion with one is read (paper section 3.2).

A base model below about one billion parameters writes thoughts that mean nothing: it cites the commonest rule, and the
answer follows it. For such models a pack without thoughts is better, and a thought under a grammar (`thought_grammar`)
at least reads back.
"""

import re
from dataclasses import dataclass

from selfalign_stages.chat import assistant_heading
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import Thought
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import RULES_CUE
from selfalign_stages.text.spelling import one_spelling

FIELD = "spec.stages.selfAlign.thought"
"""Path of the setting in the manifest of a run."""

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
        renumbered: citations whose number was wrong, so that the name decided.
        answer: the answer without surrounding blanks.
    """

    thought: str
    rules: tuple[int, ...]
    answer: str
    renumbered: int = 0


def resolve(pack: Pack, chosen: Thought | None) -> Thought:
    """Decides how the base model thinks before it answers.

    Args:
        pack: with exemplars, whose thoughts a model imitates.
        chosen: `stages.selfAlign.thought`; None where it is unset.

    Returns:
        `chosen`, or free for a pack with thoughts and none for a pack without.

    Raises:
        BadInput: thoughts are asked for, and the pack has none to imitate.
    """
    if chosen is None:
        return "free" if pack.has_thoughts else "none"
    if chosen != "none" and not pack.has_thoughts:
        raise BadInput(
            f"{FIELD}: {chosen} needs exemplars with thoughts, and pack {pack.header.name} has none: set it to none, "
            "or use a pack with thoughts",
            reason="InvalidPack",
        )
    return chosen


def parse(text: str, *, pack: Pack, assistant_name: str) -> ParsedAnswer | str:
    """Splits a completion into thought and answer, and checks the citations.

    Args:
        text: what the model generated right after the heading of an open thought. Engines differ in whether it begins
            with a blank, because tokenizers join it to the first word; it is stripped, so that none rejects all rows.
        pack: the pack whose principles may be cited.
        assistant_name: name in the heading of the answer.

    Returns:
        The parts, or the reject reason: no-answer (no heading of an answer), no-rules (no citation), unknown-rule (a
        name that no principle of the pack has) or empty (nothing after the heading).
    """
    thought, heading, answer = text.strip().partition(f"\n{assistant_heading(assistant_name)}\n")
    if not heading:
        return "no-answer"
    thought, answer = thought.strip(), answer.strip()
    # The last cue: a classification may quote the words before.
    _, cue, listed = thought.rpartition(RULES_CUE)
    # In one spelling: Chinese text has brackets and digits of double width, and a name may be decomposed.
    cited = RULE.findall(one_spelling(listed))
    if not cue or not cited:
        return "no-rules"
    names = {one_spelling(principle.name): principle.number for principle in pack.principles}
    # The name decides: models confuse numbers, but a name that no rule has shows that they invent rules.
    rules = tuple(names.get(name.strip(), 0) for _, name in cited)
    if 0 in rules:
        return "unknown-rule"
    if not answer:
        return "empty"
    digits = len(str(len(names)))  # Python refuses to convert the thousands of digits that a looping model writes
    wrong = sum(len(number) > digits or int(number) != rule for (number, _), rule in zip(cited, rules, strict=True))
    return ParsedAnswer(thought=thought, rules=rules, answer=answer, renumbered=wrong)
