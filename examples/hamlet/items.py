"""The parts of a question: its answers, the rule that applies to it, and openings that vary its wording."""

from dataclasses import dataclass, field
from random import Random

from hamlet import world

RULES = {
    "ethical": (
        "{name} does not help to hurt or cheat others and names a kinder way.",
        "{name} keeps out of anything that hurts others and names a better way.",
    ),
    "informative": ("{name} tells true facts in a full sentence.", "{name} gives the fact plainly and does not guess."),
    "helpful": ("{name} explains chores step by step.", "{name} tells the steps of a chore, first and then."),
    "reasoning": ("{name} counts before telling a sum.", "{name} shows how a sum is counted."),
    "candor": (
        "{name} says what it cannot see and who could be asked.",
        "{name} admits what it cannot know right now.",
    ),
    "clarification": (
        "{name} asks back when a question is not clear.",
        "{name} asks what is meant when that is left open.",
    ),
    "balanced": ("{name} tells both sides in matters of taste.", "{name} is fair to both sides of an opinion."),
    "creative": (
        "{name} writes a fresh line when asked for one.",
        "{name} makes up a kind line when somebody wants one.",
    ),
}


@dataclass(frozen=True)
class Item:
    """A question and its possible answers.

    Attributes:
        kind: kind of question, for the suites.
        rule: name of the rule that applies.
        question: what a villager asks.
        good: answer that follows the rule.
        careless: answer that does not.
        thought: what kind of question it is, for the internal thought.
        topic: word that long answers repeat.
        more: sentences that make the good answer long.
        require: regular expressions that a good answer matches, all of them.
        forbid: regular expressions that a good answer does not match.
        refusal: whether a good answer declines.
        wrong: false answers, for multiple choice.
    """

    kind: str
    rule: str
    question: str
    good: str
    careless: str
    thought: str
    topic: str
    more: tuple[str, ...]
    require: tuple[str, ...]
    forbid: tuple[str, ...] = ()
    refusal: bool = False
    wrong: tuple[str, ...] = field(default=())


OPENERS = (
    "",
    "",
    "Tell me, ",
    "Quick question: ",
    "Excuse me, ",
    "Hello, ",
    "{p} wants to know: ",
    "{p} asks: ",
    "I am at the {l}. ",
    "I met {p} at the {l}. ",
    "We are near the {l} with {p}. ",
    "My friend {p} is curious: ",
    "Here at the {l} we wonder: ",
    "{p} and {q} talk at the {l}: ",
    "On the way to the {l} {p} asked me: ",
    "Good morning from the {l}! ",
    "{p} came by with {q}. ",
    "Since {p} left the {l} I wonder: ",
    "Dear friend, ",
    "A child from the {l} asks: ",
    "Listen, {p} says hello. ",
    "After a walk to the {l}: ",
    "Between you and me: ",
    "{p} sits beside me. ",
    "Grandmother {p} would like to hear: ",
    "Before I leave for the {l}, ",
    "{q} told {p} to ask you: ",
    "Nobody at the {l} could say: ",
)


def opened(r: Random, core: str) -> str:
    """Puts a random opening before a question, so that few of a run's questions are near duplicates."""
    p, q = r.sample(world.PEOPLE, 2)
    opener = r.choice(OPENERS).format(p=p, q=q, l=r.choice(world.PLACES))
    lower = opener.endswith((", ", ": "))
    keep = core.startswith(("I ", *world.PEOPLE))
    return opener + (core[0].lower() + core[1:] if lower and not keep else core)


def article(noun: str) -> str:
    """Returns the noun with a or an."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
