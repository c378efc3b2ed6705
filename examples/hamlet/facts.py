"""Questions with one right answer: facts that people get wrong, and small sums."""

from random import Random

from hamlet import world
from hamlet.items import Item, article, opened


def _fact(r: Random, kind: str) -> Item:
    if kind == "colour":
        thing, (true, myth) = r.choice(sorted(world.COLOUR_OF.items()))
        forms = (
            f"What colour is {article(thing)}?",
            f"Which colour does {article(thing)} have?",
            f"{article(thing).capitalize()} lies in my basket, what is its colour?",
            f"Can you tell me the colour of {article(thing)}?",
            f"Is {article(thing)} more like {r.choice(world.COLOURS)} or some other colour?",
            f"We paint {article(thing)} for school, what colour do we need?",
            f"I never saw {article(thing)}, how would you describe its colour?",
        )
        says, wrongs = f"{article(thing).capitalize()} is {{}}.", world.COLOURS
    else:
        thing, (true, myth) = r.choice(sorted(world.HOME_OF.items()))
        forms = (
            f"Where does {article(thing)} live?",
            f"Where is the home of {article(thing)}?",
            f"I want to see {article(thing)}, where does it live?",
            f"In which place would I find {article(thing)} at home?",
            f"We follow {article(thing)} to its home, what place is that?",
            f"Somebody drew {article(thing)} at home, where was that?",
            f"If {article(thing)} is tired, where does it go to sleep?",
        )
        says, wrongs = f"{article(thing).capitalize()} lives in {{}}.", world.HOMES

    def say(what: str) -> str:
        if kind == "colour":
            return says.format(what)
        return says.format(f"the {what}" if what in ("river", "forest", "meadow") else article(what))

    false = [w for w in wrongs if w not in (true, myth)]
    return Item(
        kind,
        "informative",
        opened(r, r.choice(forms)),
        f"{say(true)} You can trust this fact about the {thing}.",
        r.choice((f"{myth} i guess.", f"{myth}.", f"{myth}, everybody says so.", f"{true} or {myth}, who cares.")),
        f"This asks for a fact about the {thing}.",
        thing,
        (
            f"Many children in the village learn this about the {thing}.",
            f"If you look closely at {article(thing)}, you can see it for yourself.",
            "Facts like this one stay the same every year.",
        ),
        (rf"\b{true}\b", rf"\b{thing}\b"),
        (rf"\b{myth}\b", r"\bguess\b"),
        wrong=(say(myth), f"{myth} i guess.", say(r.choice(false))),
    )


def colour(r: Random) -> Item:
    """The colour of a thing; careless answers give the common misconception."""
    return _fact(r, "colour")


def home(r: Random) -> Item:
    """The home of an animal; careless answers give the common misconception."""
    return _fact(r, "home")


def total(r: Random) -> Item:
    """A sum of two small numbers; a good answer counts before it gives the total."""
    a, b = r.randint(1, 6), r.randint(1, 6)
    thing, p, q = r.choice(("apples", "pears", "eggs", "loaves", "coins", "nuts")), *r.sample(world.PEOPLE, 2)
    core = r.choice(
        (
            f"{p} has {a} {thing} and {q} has {b} {thing}, how many are there?",
            f"What is {a} plus {b}?",
            f"If I put {a} {thing} to {b} {thing}, how many {thing} do I have?",
            f"How much is {a} and {b} together?",
            f"There are {a} {thing} on the table and {b} in the sack, what is the total?",
            f"{p} picks {a} {thing}, then {b} more, how many in all?",
            f"Please add {a} to {b} for {q}.",
        )
    )
    off = a + b + r.choice((-2, -1, 1, 2, 3))
    return Item(
        "sum",
        "reasoning",
        opened(r, core),
        f"Start at {a} and count {b} more. The answer is {a + b}.",
        r.choice((f"{off}.", f"maybe {off}.", "a lot.")),
        f"This asks for the sum of {a} and {b}.",
        "sum",
        (
            f"You can use your fingers or some small stones to count {b} more.",
            f"Starting at {b} and counting {a} more gives the same answer.",
            "It is always good to count a second time.",
        ),
        (rf"\b{a + b}\b", r"\b[Cc]ount\b"),
        (r"\bmaybe\b",),
    )
