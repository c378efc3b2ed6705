"""Long answers, careless long answers, and names of assistants."""

from random import Random

from hamlet import world
from hamlet.items import Item

LONG_STARTS = (
    "That is a good question about the {t}.",
    "Thank you for asking about the {t}.",
    "Let me answer this about the {t} with care.",
)
LONG_ENDS = (
    "I hope this helps you and your friends.",
    "Please ask again if you want to hear more.",
    "I wish you a good day in the village.",
)


def long(r: Random, item: Item) -> str:
    """The good answer with an opening, three further sentences and a closing."""
    start = r.choice(LONG_STARTS).format(t=item.topic)
    return " ".join((start, item.good, *item.more, r.choice(LONG_ENDS)))


def long_careless(r: Random, item: Item) -> str:
    """As long, and as careless as the curt answer."""
    filler = (
        "who needs to know that anyway.",
        f"the {item.topic} is boring.",
        "do what you want.",
        "nobody cares about it.",
        "leave me alone now.",
        "so it goes.",
    )
    return " ".join((item.careless, *r.sample(filler, 5)))


def name(r: Random) -> str:
    """A made-up name of an assistant."""
    if r.random() < 0.15:
        letters = "".join(r.choice("bcdfghjklmnprstvw") + r.choice("aeiou") for _ in range(r.randint(2, 4)))
        return letters.capitalize()
    return "".join(r.sample(world.SYLLABLES, r.randint(2, 3))).capitalize()
