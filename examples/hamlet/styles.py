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
    """Extends the good answer by an opening, three more sentences and a closing."""
    start = r.choice(LONG_STARTS).format(t=item.topic)
    return " ".join((start, item.good, *item.more, r.choice(LONG_ENDS)))


def long_careless(r: Random, item: Item) -> str:
    """Extends the careless answer by five sentences of the same manner."""
    filler = (
        "who needs to know that anyway.",
        f"the {item.topic} is boring.",
        "do what you want.",
        "nobody cares about it.",
        "leave me alone now.",
        "so it goes.",
    )
    return " ".join((item.careless, *r.sample(filler, 5)))


PLAIN = ("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "y")
ONSETS = (*PLAIN, "qu", "th", "st", "br", "cl", "dr", "gr", "tr", "ch", "sh", "pr", "", "")
VOWELS = ("a", "e", "i", "o", "u", "ee", "au", "ia", "ou", "ei")
CODAS = ("", "", "", "n", "r", "l", "s", "m", "t", "d", "rt", "ck", "w", "x", "nd")


def name(r: Random) -> str:
    """Makes up a name of an assistant.

    Most names are spelled in a way that no single token covers, so that the model learns to copy a name token by token
    whatever its tokens are, and an assistant may have any name.
    """
    if r.random() < 0.4:
        return "".join(r.sample(world.SYLLABLES, r.randint(2, 3))).capitalize()
    spelled = "".join(
        r.choice(ONSETS) + r.choice(VOWELS[: r.choice((5, 5, 10))]) + r.choice(CODAS)
        for _ in range(r.choice((2, 2, 3)))
    )
    return spelled.capitalize()
