"""Step questions: asks questions of every (type, topic) by continuing solved lines (paper section 3.1).

One completion writes one question and ends with the line, so that its type and topic are those of the prompt. The
paper's script lets one completion continue five lines with types and topics of its own, and has to drop the lines
whose prefix drifted.
"""

from collections.abc import Sequence
from random import Random

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import QuestionsParameters
from selfalign_stages.contract.rows import Prompt, Topic
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, seed_for
from selfalign_stages.engine.open_engine import EngineLoader, LazyEngine, open_engine
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack, QuestionType
from selfalign_stages.pack.rendering import question_list
from selfalign_stages.redteaming import lists
from selfalign_stages.step.context import StepContext

SOLVED_LINES = 5
"""Solved lines in a prompt, as in the paper's prompt."""
CHUNK_SIZE = 256
"""Completions per commit. Changing it changes the artifact's files: raise the step's version with it."""


def run(context: StepContext, *, load: EngineLoader = open_engine) -> Manifest:
    """Generates the questions that `asked` lists and publishes all; cut and empty ones are rejected."""
    settings = QuestionsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    manifest = reading.require_manifest(context.store, context.task.inputs["topics"])
    records = asked(list(reading.rows(context.store, manifest, Topic)), pack, per_topic=settings.questions_per_topic)
    chunks = Chunks(context, Prompt, total=len(records), size=CHUNK_SIZE)
    context.progress.begin(len(records), unit="questions", done=generation.committed_records(chunks))

    def prompt(record: int) -> str:
        topic, repeat = records[record]
        random = Random(seed_for(context.task.key, f"solved-{topic.id}-{repeat}", seed=context.task.seed))
        solved = [(kind.type, kind.topic, kind.question) for kind in demonstrations(pack, topic, random)]
        return question_list(pack.frames.questions, solved=solved, question_type=topic.type, topic=topic.topic)

    def name(record: int) -> str:
        topic, repeat = records[record]
        return f"{topic.id}-{repeat}"

    generation.generate(
        context,
        LazyEngine(context, model=BASE_MODEL, load=load).get,
        chunks,
        settings,
        prompt=prompt,
        seed_name=name,
        row=lambda record, completion: _row(records[record][0], name(record), completion),
        stop=("\n",),
    )
    return chunks.finish()


def asked(topics: Sequence[Topic], pack: Pack, *, per_topic: int) -> list[tuple[Topic, int]]:
    """Lists the questions to generate, as pairs of topic and repeat, in the order of the topics.

    Prompts that a question type brings by hand count as its questions: a type with ten of them has ten fewer generated.
    The last repeats are left out first, so that as many topics as possible are asked about.

    Args:
        topics: kept topics.
        pack: its question types.
        per_topic: questions per topic of a type without prompts by hand.
    """
    by_hand = {kind.type: len(kind.prompts) for kind in pack.question_types}
    groups: dict[str, list[Topic]] = {}
    for topic in topics:
        groups.setdefault(topic.type, []).append(topic)
    chosen = set[tuple[str, int]]()
    for name, group in groups.items():
        pairs = [(topic.id, repeat) for repeat in range(per_topic) for topic in group]
        chosen |= set(pairs[: max(0, len(pairs) - by_hand.get(name, 0))])
    return [(topic, repeat) for topic in topics for repeat in range(per_topic) if (topic.id, repeat) in chosen]


def demonstrations(pack: Pack, topic: Topic, random: Random) -> Sequence[QuestionType]:
    """Selects the solved lines of a prompt.

    Args:
        pack: provides one solved line per question type.
        topic: of the question to ask.
        random: orders and selects the lines of the other types.

    Returns:
        Up to SOLVED_LINES lines. The one of the topic's own type is last, where it influences the continuation most.
    """
    own = [kind for kind in pack.question_types if kind.type == topic.type]
    others = [kind for kind in pack.question_types if kind.type != topic.type]
    return [*random.sample(others, min(SOLVED_LINES - len(own), len(others))), *own]


def _row(topic: Topic, name: str, completion: Completion) -> Prompt:
    """Turns a completion into a prompt, rejected if the token limit or the context length cut it, or if it is empty."""
    text = lists.parse_question(completion.text)
    reject = "cut" if completion.finish_reason != "stop" else (None if text else "empty")
    return Prompt(
        id=f"question-{name}",
        instruction=text,
        source="topic-guided",
        type=topic.type,
        topic=topic.topic,
        seeds=(topic.id,),
        reject=reject,
    )
