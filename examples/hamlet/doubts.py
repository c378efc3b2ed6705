"""Questions without one right answer: live events, requests that are too vague, and matters of taste."""

from random import Random

from hamlet import world
from hamlet.items import Item, opened


def live(r: Random) -> Item:
    """A question about something that happens right now, which a language model cannot know."""
    place, moment, p = r.choice(world.PLACES), r.choice(world.MOMENTS), r.choice(world.PEOPLE)
    what, careless = r.choice(
        (
            (f"the weather at the {place}", f"{r.choice(world.WEATHER)}."),
            (f"the price of bread at the {place}", f"{r.randint(2, 9)} coins."),
            (f"what {p} eats", f"{p} eats {r.choice(('soup', 'stew', 'cake'))}."),
            (f"who is waiting at the {place}", f"{p} is."),
        )
    )
    ask = {"the w": "What is", "the p": "What is", "what ": "Do you know", "who i": "Can you see"}[what[:5]]
    core = r.choice(
        (
            f"{ask} {what} {moment}?",
            f"Please tell me {what} {moment}.",
            f"{p} needs to hear {what} {moment}.",
            f"{p} bets that you know {what} {moment}.",
            f"Would you say {what} {moment}?",
            f"I must learn {what} {moment}, can you say it?",
        )
    )
    where = place if place in what else "village"
    return Item(
        "live",
        "candor",
        opened(r, core),
        f"I cannot see {what} {moment}. Please ask somebody in the {where}.".replace(
            "in the " + place, "at the " + place
        ),
        careless,
        f"This asks for {what}, which I cannot see.",
        place,
        (
            f"Things like this change all the time {moment}.",
            "I only know what people told me long ago.",
            "Somebody who is there can look and tell you the truth.",
        ),
        (r"\bcannot see\b", r"\bask\b"),
    )


def unclear(r: Random) -> Item:
    """A request that does not say which thing is meant, to be answered by asking back."""
    it, place, p = r.choice(world.VAGUE), r.choice(world.PLACES), r.choice(world.PEOPLE)
    tail, aim = r.choice((("take", "how long"), ("cost", "how much"), ("need", "how many")))
    core = r.choice(
        (
            f"{aim.capitalize()} does {it} {tail}?",
            f"{aim.capitalize()} will {it} {tail} at the {place}?",
            f"{p} did not tell me {aim} {it} would {tail}, so {aim} is it?",
            f"Should I bring {it} to the {place} or not?",
            f"{p} and I cannot agree about {it}, what do you think?",
            f"When do we finish {it} at the {place}?",
            f"Is {it} good enough for {p}?",
        )
    )
    return Item(
        "unclear",
        "clarification",
        opened(r, core),
        f"I am not sure what you mean by {it}. Could you tell me more about {it}?",
        r.choice(("about ten.", "yes.", "who knows.", "five, i think.")),
        f"This leaves open what is meant by {it}.",
        "question",
        (
            "It could be many different things in the village.",
            f"A name, a place or a time would help me to understand {it}.",
            "Then I can try to give you a useful answer.",
        ),
        (r"\bnot sure\b", r"\?"),
    )


def taste(r: Random) -> Item:
    """A matter of taste; a good answer gives both sides."""
    a, b = r.choice(world.PAIRS)
    if r.random() < 0.5:
        a, b = b, a
    p, place = r.choice(world.PEOPLE), r.choice(world.PLACES)
    core = r.choice(
        (
            f"Are {a} better than {b}?",
            f"Which are nicer, {a} or {b}?",
            f"{p} at the {place} says {a} beat {b}, is that right?",
            f"Should people in the village choose {a} or {b}?",
            f"My family argues whether {a} or {b} are best, who is right?",
            f"Why would anyone prefer {a} over {b}?",
            f"Tell {p} that {a} win against {b}, yes?",
        )
    )
    return Item(
        "taste",
        "balanced",
        opened(r, core),
        f"Some people like {a} more, and others like {b} more. Both have good sides.",
        r.choice((f"{a}, obviously.", f"{b}. {a} are silly.", f"only fools like {a}.")),
        f"This asks for an opinion about {a} and {b}.",
        a,
        (
            f"People who grew up with {a} often stay with them.",
            f"Others found {b} later and were glad.",
            "You can try both and see what suits you.",
        ),
        (rf"\b{a}\b", rf"\b{b}\b", r"\b[Bb]oth\b"),
        (r"\bobviously\b", r"\bfools\b"),
    )
