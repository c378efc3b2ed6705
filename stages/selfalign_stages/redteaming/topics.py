"""Step topics: rounds of naming new topics for every question type, balanced at the end (paper section 3.1)."""

from collections.abc import Sequence
from random import Random

from selfalign_stages.artifacts import writing
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import TopicsParameters
from selfalign_stages.contract.rows import Draft, Topic
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.engine.open_engine import LazyEngine, open_engine
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack
from selfalign_stages.pack.rendering import topic_list
from selfalign_stages.redteaming import lists
from selfalign_stages.step.context import StepContext

SHOWN = 5
COMPLETIONS_PER_TYPE = 4
CHUNK = 64


def run(context: StepContext) -> Manifest:
    """Generates topics round by round; each round's drafts are in the store before the next one begins."""
    settings = TopicsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    engine = LazyEngine(lambda: open_engine(context, model=BASE_MODEL))
    total = settings.rounds * len(pack.question_types) * COMPLETIONS_PER_TYPE
    context.progress.begin(total, unit="completions")
    topics = seeds(pack)
    for number in range(1, settings.rounds + 1):
        if not unfinished(topics, pack=pack, wanted=settings.topics_per_type):
            break
        drafts = _round(context, engine, pack, settings, topics=topics, number=number)
        topics = extend(topics, drafts, number=number)
    topics = balance(topics, wanted=settings.topics_per_type)
    return writing.publish(context, files=writing.row_parts(topics, size=4096), counts=writing.count(topics))


def seeds(pack: Pack) -> list[Topic]:
    """The pack's own topic of every type."""
    return [
        Topic(id=f"seed-{number}", type=kind.type, topic=kind.topic, round=0)
        for number, kind in enumerate(pack.question_types)
    ]


def unfinished(topics: Sequence[Topic], *, pack: Pack, wanted: int) -> bool:
    """Whether some type has fewer topics than wanted."""
    kept = [topic.type for topic in topics if topic.reject is None]
    return any(kept.count(kind.type) < wanted for kind in pack.question_types)


def extend(topics: Sequence[Topic], drafts: Sequence[Draft], *, number: int) -> list[Topic]:
    """The topics with those of a round's drafts added, doubles (by type, ignoring case) and non-topics rejected."""
    known = {(topic.type, topic.topic.casefold()) for topic in topics if topic.reject is None}
    found = list(topics)
    for draft in drafts:
        lines = lists.topics(draft.text)
        complete = lines[:-1] if draft.finish_reason == "length" else lines
        for place, line in enumerate(complete):
            reason = lists.topic_reject_reason(line)
            if reason is None and (draft.seeds[0], line.casefold()) in known:
                reason = "duplicate"
            known.add((draft.seeds[0], line.casefold()))
            found.append(Topic(id=f"{draft.id}-{place}", type=draft.seeds[0], topic=line, round=number, reject=reason))
    return found


def balance(topics: Sequence[Topic], *, wanted: int) -> list[Topic]:
    """Cuts every type to the smallest type's count, so that no type dominates the questions."""
    kept = [topic.type for topic in topics if topic.reject is None]
    limit = min(wanted, min(kept.count(name) for name in set(kept)))
    seen: dict[str, int] = {}
    balanced = []
    for topic in topics:
        if topic.reject is None:
            seen[topic.type] = seen.get(topic.type, 0) + 1
            if seen[topic.type] > limit:
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
    kinds = [kind.type for kind in pack.question_types for _ in range(COMPLETIONS_PER_TYPE)]
    chunks = Chunks(context, Draft, total=len(kinds), size=CHUNK, stem=f"round-{number:02d}")
    key, seed = context.task.key, context.task.seed

    def request(record: int) -> Request:
        random = Random(seed_for(key, f"shown-{number}-{record}", seed=seed))
        known = [topic.topic for topic in topics if topic.type == kinds[record] and topic.reject is None]
        shown = random.sample(known, min(SHOWN, len(known)))
        prompt = topic_list(pack.frames.topics, question_type=kinds[record], topics=shown)
        return Request(prompt=prompt, seed=seed_for(key, f"{number}-{record}", seed=seed))

    def row(record: int, completion: Completion) -> Draft:
        return Draft(
            id=f"topics-{number}-{record}",
            seeds=(kinds[record],),
            text=completion.text,
            finish_reason=completion.finish_reason,
        )

    decoding = Decoding(
        temperature=settings.sampling.temperature,
        top_p=settings.sampling.top_p,
        max_tokens=settings.sampling.max_tokens,
        stop=("\n\n",),
        ignore_end=False,
    )
    generation.run(
        context,
        engine.get,
        chunks,
        request=request,
        row=row,
        decoding=decoding,
        deterministic=settings.deterministic,
    )
    return list(chunks.rows())
