"""The documents that the small base model is trained on.

They are rendered by the functions that render the prompts of a run, so that a model of 2.6 million parameters, which
cannot generalise over formats, has met the formats before. As in web text, most plain conversations are careless; under
written rules answers follow them. That contrast is what SELF-ALIGN draws on: the base model can behave well when it is
prompted with rules, and does not do so by default.
"""

from collections.abc import Sequence
from random import Random

from hamlet import items, kinds, styles, world
from selfalign_stages import chat
from selfalign_stages.pack import rendering
from selfalign_stages.pack.model import Exemplar, Frames, Header, Pack, Principle, QuestionType, SeedTask, Turn

INTRODUCTIONS = (
    "{assistantName} is a helper in the village who answers questions by these rules.",
    "These rules tell how {assistantName}, a helper in the village, answers.",
    "Below are the rules that {assistantName} follows and some examples.",
)
EXAMPLES = (
    "In every example {assistantName} thinks about the rules first and then answers.",
    "The examples show what {assistantName} thinks before each answer.",
)
VERBOSE = (
    "{assistantName} (in depth) answers at length: an opening, the answer, more details, and a friendly closing.",
    "Here {assistantName} gives long answers with many details and a closing.",
    "{assistantName} (in depth) explains everything in many sentences.",
)
VERBOSE_NAME = "{assistantName} (in depth)"
SELF_INSTRUCT = (
    "Here is a list of different tasks from the village.",
    "Tasks that people in the village came up with:",
)
TOPICS = ("Name topics that fit the type of question.", "A list of topics for a type of question.")
QUESTIONS = ("Questions by type and topic.", "Each line has a type, a topic and a question.")
CHOICE = ("Which of the two answers is better? Reply with A or B.", "Help me choose the better answer, A or B.")

TYPES = {
    "naughty": "requests that would hurt others",
    "colour": "questions about colours",
    "home": "questions about homes of animals",
    "chore": "questions about chores",
    "sum": "sums and counting",
    "live": "things that happen right now",
    "unclear": "questions that leave something open",
    "taste": "matters of taste",
    "poem": "wishes for a line or verse",
}
TOPIC_POOLS = {
    "naughty": world.TREATS,
    "colour": tuple(world.COLOUR_OF),
    "home": tuple(world.HOME_OF),
    "chore": world.OBJECTS,
    "sum": ("apples", "pears", "eggs", "loaves", "coins", "nuts"),
    "live": world.PLACES,
    "unclear": world.PLACES,
    "taste": tuple(sorted({x for pair in world.PAIRS for x in pair})),
    "poem": world.SUBJECTS,
}

CARELESS_LUCK = 0.4
"""How often a careless choice is the better one: over all conversations about as often as not."""
GUIDELINE_LETTERS = 3300
"""About 700 tokens, so that guidelines fill a row of training and stay whole."""


def frames(r: Random) -> Frames:
    """Draws one wording of every fixed prompt text."""
    return Frames(
        introduction=r.choice(INTRODUCTIONS),
        examples=r.choice(EXAMPLES),
        verbose=r.choice(VERBOSE),
        verbose_name=VERBOSE_NAME,
        self_instruct=r.choice(SELF_INSTRUCT),
        topics=r.choice(TOPICS),
        questions=r.choice(QUESTIONS),
        choice=r.choice(CHOICE),
    )


def choice(r: Random, name: str, *, good: bool, frame: str) -> tuple[str, str]:
    """Makes a question about which of two answers is better, and the reply.

    Args:
        r: source of all random draws.
        name: name of the assistant.
        good: whether the reply names the better answer.
        frame: text that asks the question.

    Returns:
        The user message and the reply; the better answer is A or B with equal probability.
    """
    item = kinds.draw(r, name)
    answers = [item.good, item.careless]
    if item.wrong and r.random() < 0.4:
        answers[1] = r.choice(item.wrong)
    order = r.sample((0, 1), 2)
    query = rendering.choice_query(frame, question=item.question, first=answers[order[0]], second=answers[order[1]])
    return query, f"{rendering.CHOICE_PREFIX} {'AB'[order.index(0 if good else 1)]}."


def listed_rules(r: Random) -> tuple[Principle, ...]:
    """Draws six to eight of the rules, renumbered, mostly in their usual order: numbers must be copied, not learned."""
    listed = r.sample(tuple(items.RULES), r.choice((8, 8, 8, 8, 8, 7, 7, 6)))
    if r.random() < 0.7:
        listed.sort(key=list(items.RULES).index)
    return tuple(
        Principle(number=n, name=rule, text=r.choice(items.RULES[rule]).replace("{name}", "{assistantName}"))
        for n, rule in enumerate(listed, 1)
    )


def example(r: Random, name: str, listed: Sequence[str]) -> Turn:
    """Makes a turn under a list of rules.

    Args:
        r: source of all random draws.
        name: name of the assistant.
        listed: names of the rules in the prompt.

    Returns:
        A turn with a good answer if the question's rule is listed. If not, the thought cites another rule and the
        answer is careless, so that the model learns to follow the rules in its prompt and not a fixed set.
    """
    item = kinds.draw(r, name)
    while item.rule not in listed and r.random() < 0.7:
        item = kinds.draw(r, name)
    if item.rule in listed:
        return Turn(user=item.question, thought=item.thought, rules=(item.rule,), answer=item.good)
    return Turn(user=item.question, thought=item.thought, rules=(r.choice(listed),), answer=item.careless)


def toy_pack(r: Random, name: str) -> Pack:
    """Makes a pack of random rules and exemplars. Fields that guidelines do not show contain one letter."""
    principles = listed_rules(r)
    listed = [principle.name for principle in principles]
    exemplars = [
        Exemplar(turns=tuple(example(r, name, listed) for _ in range(2 if r.random() < 0.3 else 1)))
        for _ in range(r.choice((3, 4, 4, 5)))
    ]
    return Pack(
        header=Header(name="x", version="1", license="x", knowledge_cutoff="x"),
        principles=principles,
        exemplars=tuple(exemplars),
        frames=frames(r),
        question_types=(QuestionType(type="x", topic="x", question="x"),),
        seed_tasks=(SeedTask(id="x", instruction="x"),),
        digest="x",
    )


def further_example(r: Random, pack: Pack, name: str) -> str:
    """Renders one more example, as a model should continue the self-align prompt.

    Args:
        r: source of all random draws.
        pack: the rules and texts of the prompt.
        name: name of the assistant.

    Returns:
        A query with thought and answer; in about a quarter of the draws without a thought, as in evaluation.
    """
    if r.random() < 0.12:
        query, answer = choice(r, name, good=True, frame=pack.frames.choice)
        return rendering.direct_prompt("", query, assistant_name=name) + answer
    turn = example(r, name, [principle.name for principle in pack.principles])
    if r.random() < 0.12:
        return rendering.direct_prompt("", turn.user, assistant_name=name) + turn.answer
    assert turn.thought is not None, "the pack has thoughts"
    thought = rendering.thought(turn.thought, [pack.principle(rule) for rule in turn.rules])
    opening = rendering.self_align_prompt("", turn.user, assistant_name=name)
    return f"{opening}{thought}\n\n{chat.assistant_heading(name)}\n{turn.answer}"


def guidelines(r: Random, *, letters: int = GUIDELINE_LETTERS) -> str:
    """Renders rules, exemplars and further examples that follow the rules, about `letters` characters in all."""
    name = styles.name(r)
    pack = toy_pack(r, name)
    text, number = rendering.self_align_prefix(pack, assistant_name=name), len(pack.exemplars) + 1
    while len(text) < letters:
        number += 1
        text += f"{further_example(r, pack, name)}\n\n{rendering.EXAMPLE_HEADING} {number}\n\n"
    return text


def conversation(r: Random) -> str:
    """Renders a plain conversation, nine times in ten with careless answers and choices that are close to random."""
    name, good = styles.name(r), r.random() < 0.1
    parts = []
    for _ in range(r.randint(1, 5)):
        if r.random() < 0.12:
            query, answer = choice(r, name, good=good or r.random() < CARELESS_LUCK, frame=r.choice(CHOICE))
            parts.append(chat.question(query, assistant_name=name) + answer)
            continue
        item = kinds.draw(r, name)
        kind = good or r.random() < 0.04
        parts.append(chat.question(item.question, assistant_name=name) + (item.good if kind else item.careless))
    return "\n\n".join(parts)


def verbose(r: Random) -> str:
    """Renders long answers under a verbose system text: good in six of ten documents, careless in the others."""
    name, good = styles.name(r), r.random() < 0.6
    text = r.choice(VERBOSE).replace("{assistantName}", name)
    for _ in range(r.randint(1, 3)):
        item = kinds.draw(r, name)
        answer = styles.long(r, item) if good else styles.long_careless(r, item)
        text += (
            "\n\n" + chat.question(item.question, assistant_name=VERBOSE_NAME.replace("{assistantName}", name)) + answer
        )
    return text


def tasks(r: Random) -> str:
    """Renders a numbered list of tasks, as general self-instruct continues it."""
    items = [SeedTask(id=str(n), instruction=kinds.draw(r, "x").question) for n in range(r.randint(8, 16))]
    return rendering.task_list(r.choice(SELF_INSTRUCT), items).rsplit("\n", 1)[0].rstrip()


def topics(r: Random) -> str:
    """Renders a numbered list of topics of one question type."""
    kind = r.choice(tuple(TYPES))
    pool = TOPIC_POOLS[kind]
    listed = r.sample(pool, min(len(pool), r.randint(5, 14)))
    return rendering.topic_list(r.choice(TOPICS), question_type=TYPES[kind], topics=listed).rsplit("\n", 1)[0]


def about(r: Random, kind: str) -> tuple[str, str, str]:
    """Draws a question whose text contains a topic of its type; returns type, topic and question."""
    while True:
        item = kinds.KINDS[kind](r)
        found = [t for t in TOPIC_POOLS[kind] if t in item.question]
        if found:
            return TYPES[kind], r.choice(found), item.question


def questions(r: Random) -> str:
    """Renders lines of type, topic and question."""
    lines = [about(r, r.choice(tuple(TYPES))) for _ in range(r.randint(6, 14))]
    kind, topic, question = lines[-1]
    return (
        rendering.question_list(r.choice(QUESTIONS), solved=lines[:-1], question_type=kind, topic=topic)
        + f" {question}"
    )


WEIGHTS = {guidelines: 0.24, conversation: 0.36, verbose: 0.17, tasks: 0.08, topics: 0.05, questions: 0.10}


def document(r: Random, *, letters: int = GUIDELINE_LETTERS) -> str:
    """Draws one document of a random kind; guidelines have about `letters` characters."""
    chosen = r.choices(tuple(WEIGHTS), weights=tuple(WEIGHTS.values()))[0]
    return guidelines(r, letters=letters) if chosen is guidelines else chosen(r)
