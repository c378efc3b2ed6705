"""Step topics: names new topics for every question type, round by round (paper section 3.1, topic-guided red-teaming).

Each round shows topics of earlier rounds as examples, so that lists move away from the pack's single seed topic. At
the end every type is cut to the size of the smallest: a type for which the model names topics easily would otherwise
dominate the questions, and with them the training data.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

from selfalign_stages.artifacts import writing
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import TopicsParameters
from selfalign_stages.contract.rows import Draft, Topic
from selfalign_stages.engine.interface import seed_for
from selfalign_stages.engine.open_engine import EngineLoader, LazyEngine, open_engine
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import topic_list
from selfalign_stages.redteaming import lists
from selfalign_stages.redteaming.rounds import generate_drafts
from selfalign_stages.step.context import StepContext
from selfalign_stages.text.spelling import caseless

TOPICS_SHOWN = 5
"""Topics in a prompt, as in the paper's prompt: enough to show the form, few enough to vary from prompt to prompt."""
COMPLETIONS_PER_TYPE = 4
"""Completions per question type and round. Few, because topics of the same round cannot avoid each other."""
CHUNK_SIZE = 64
"""Completions per commit. Changing it changes the artifact's files: raise the step's version with it."""


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Runs rounds until every type has enough topics or the rounds are used up; publishes all with their verdicts."""
    settings = TopicsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    engine = LazyEngine(context, model=BASE_MODEL, load=load)
    total = settings.rounds * len(pack.question_types) * COMPLETIONS_PER_TYPE
    context.progress.begin(total, unit="completions")
    topics = seed_topics(pack)
    for number in range(1, settings.rounds + 1):
        # Checked on parsed topics, so that a resumed step ends after the same round as an uninterrupted one.
        if not unfinished(topics, pack=pack, target=settings.topics_per_type):
            break
        drafts = _round(context, engine, pack, settings, topics=topics, number=number)
        topics = extend(topics, drafts, number=number)
    topics = balance(topics, target=settings.topics_per_type)
    return writing.publish(context, files=writing.row_parts(topics, size=4096), counts=writing.count(topics))


def seed_topics(pack: Pack) -> list[Topic]:
    """Returns the pack's own topic of every question type."""
    return [
        Topic(id=f"seed-{number}", type=kind.type, topic=kind.topic, round=0)
        for number, kind in enumerate(pack.question_types)
    ]


def unfinished(topics: Sequence[Topic], *, pack: Pack, target: int) -> bool:
    """Whether a further round is needed.

    Args:
        topics: all topics so far; rejected ones do not count.
        pack: the question types, of which one without any topic counts too.
        target: kept topics that every type should reach.
    """
    kept = Counter(topic.type for topic in topics if topic.reject is None)
    return any(kept[kind.type] < target for kind in pack.question_types)


def extend(topics: Sequence[Topic], drafts: Sequence[Draft], *, number: int) -> list[Topic]:
    """Adds the topics of a round's drafts.

    Args:
        topics: of the earlier rounds and the pack.
        drafts: of the new round; the first seed of a draft is its question type.
        number: of the new round.

    Returns:
        All topics. A line that is no topic, or repeats one of the same type in any case or spelling, carries its
        reject reason.
    """
    known = {(topic.type, caseless(topic.topic)) for topic in topics if topic.reject is None}
    extended = list(topics)
    for draft in drafts:
        lines = lists.parse_topics(draft.text)
        # At the token limit the last line may be half a topic.
        complete = lines[:-1] if draft.finish_reason == "length" else lines
        for place, line in enumerate(complete):
            name = (draft.seeds[0], caseless(line))
            reason = lists.topic_reject_reason(line)
            if reason is None and name in known:
                reason = "duplicate"
            known.add(name)  # a line that is no topic as well: its repetitions would be rejected anyway
            extended.append(
                Topic(id=f"{draft.id}-{place}", type=draft.seeds[0], topic=line, round=number, reject=reason)
            )
    return extended


def balance(topics: Sequence[Topic], *, target: int) -> list[Topic]:
    """Cuts every type to `target` topics or to the smallest type's count, whichever is less; the earliest stay."""
    kept = Counter(topic.type for topic in topics if topic.reject is None)
    limit = min([target, *kept.values()])
    number = Counter[str]()
    balanced = []
    for topic in topics:
        if topic.reject is None:
            number[topic.type] += 1
            if number[topic.type] > limit:
                topic = topic.model_copy(update={"reject": "balance"})
        balanced.append(topic)
    return balanced


def _round(
    context: StepContext,
    engine: LazyEngine,
    pack: Pack,
    settings: TopicsParameters,
    *,
    topics: Sequence[Topic],
    number: int,
) -> list[Draft]:
    """Generates a round: for every type some completions of a list of known topics, each with a sample of its own."""
    types = [kind.type for kind in pack.question_types for _ in range(COMPLETIONS_PER_TYPE)]
    key, seed = context.task.key, context.task.seed

    def prompt(record: int) -> str:
        random = Random(seed_for(key, f"shown-{number}-{record}", seed=seed))
        known = [topic.topic for topic in topics if topic.type == types[record] and topic.reject is None]
        shown = random.sample(known, min(TOPICS_SHOWN, len(known)))
        return topic_list(pack.frames.topics, question_type=types[record], topics=shown)

    return generate_drafts(
        context,
        engine,
        settings,
        number=number,
        total=len(types),
        chunk_size=CHUNK_SIZE,
        id_prefix="topics",
        prompt=prompt,
        seeds=lambda record: (types[record],),
        stop=("\n\n",),
    )
