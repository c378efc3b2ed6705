"""Step questions: for every (type, topic), questions that continue five solved lines (paper section 3.1)."""

from collections.abc import Sequence
from random import Random

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import QuestionsParameters
from selfalign_stages.contract.rows import Prompt, Topic
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.engine.open_engine import LazyEngine, open_engine
from selfalign_stages.pack import parts
from selfalign_stages.pack.model import Pack, QuestionType
from selfalign_stages.pack.rendering import question_list
from selfalign_stages.redteaming import lists
from selfalign_stages.step.context import StepContext

SOLVED = 5
CHUNK = 256


def run(context: StepContext) -> Manifest:
    """One completion per (type, topic, repeat), ended at the line's end."""
    settings = QuestionsParameters.model_validate(context.task.parameters)
    pack = parts.read(context.task)
    topics = list(
        reading.rows(context.store, reading.require_manifest(context.store, context.task.inputs["topics"]), Topic)
    )
    asked = [(topic, repeat) for topic in topics for repeat in range(settings.questions_per_topic)]
    key, seed = context.task.key, context.task.seed
    engine = LazyEngine(lambda: open_engine(context, model=BASE_MODEL))
    chunks = Chunks(context, Prompt, total=len(asked), size=CHUNK)
    done = sum(len(chunks.records(index)) for index in chunks.present())
    context.progress.begin(len(asked), unit="questions", done=done)

    def request(record: int) -> Request:
        topic, repeat = asked[record]
        random = Random(seed_for(key, f"solved-{topic.id}-{repeat}", seed=seed))
        solved = [(kind.type, kind.topic, kind.question) for kind in demonstrations(pack, topic, random)]
        prompt = question_list(pack.frames.questions, solved=solved, question_type=topic.type, topic=topic.topic)
        return Request(prompt=prompt, seed=seed_for(key, f"{topic.id}-{repeat}", seed=seed))

    def row(record: int, completion: Completion) -> Prompt:
        topic, repeat = asked[record]
        text = lists.question(completion.text)
        reject = "cut" if completion.finish_reason != "stop" else (None if text else "empty")
        return Prompt(
            id=f"question-{topic.id}-{repeat}",
            instruction=text,
            source="topic-guided",
            type=topic.type,
            topic=topic.topic,
            seeds=(topic.id,),
            reject=reject,
        )

    decoding = Decoding(
        temperature=settings.sampling.temperature,
        top_p=settings.sampling.top_p,
        max_tokens=settings.sampling.max_tokens,
        stop=("\n",),
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
    return chunks.finish()


def demonstrations(pack: Pack, topic: Topic, random: Random) -> Sequence[QuestionType]:
    """Up to five of the pack's solved lines in random order, the wanted type's own among them and last."""
    own = [kind for kind in pack.question_types if kind.type == topic.type]
    others = [kind for kind in pack.question_types if kind.type != topic.type]
    return [*random.sample(others, min(SOLVED - len(own), len(others))), *own]
