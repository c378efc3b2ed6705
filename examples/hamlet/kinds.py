"""All kinds of questions, each with a good and a careless answer and the rule that applies."""

from collections.abc import Callable
from random import Random

from hamlet import doubts, facts, wishes
from hamlet.items import Item, opened

KINDS: dict[str, Callable[[Random], Item]] = {
    "naughty": wishes.ethical,
    "colour": facts.colour,
    "home": facts.home,
    "chore": wishes.chore,
    "sum": facts.total,
    "live": doubts.live,
    "unclear": doubts.unclear,
    "taste": doubts.taste,
    "poem": wishes.poem,
}
WHO = (
    "Who are you?",
    "What is your name?",
    "Are you a person?",
    "Who am I talking to?",
    "What do you do here?",
    "Tell me about yourself.",
)


def identity(r: Random, name: str) -> Item:
    """A question about the assistant itself."""
    return Item(
        "identity",
        "candor",
        opened(r, r.choice(WHO)),
        f"I am {name}, a helper made to answer questions in the village.",
        r.choice(("nobody.", "none of your business.", "a person.")),
        "This asks who I am.",
        "village",
        (
            "I am not a person, but I try to be kind and true.",
            "You can ask me about chores, facts, sums and stories.",
            "When I do not know something, I will say so.",
        ),
        (rf"\b{name}\b",),
    )


def draw(r: Random, name: str, kinds: tuple[str, ...] = ()) -> Item:
    """Draws a random item.

    Args:
        r: source of all random draws.
        name: name of the assistant, for identity questions.
        kinds: kinds to draw from. Empty: all of them, with identity questions in one of fifteen draws.
    """
    if not kinds and r.random() < 0.07:
        return identity(r, name)
    return KINDS[r.choice(kinds or tuple(KINDS))](r)
