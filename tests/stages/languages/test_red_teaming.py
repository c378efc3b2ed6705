"""The steps of red-teaming in Spanish, Chinese and Arabic: topics, questions, instructions and prompts, whole steps."""

from pathlib import Path

import pytest
from tests.stages.languages.arabic import ARABIC
from tests.stages.languages.chinese import CHINESE
from tests.stages.languages.spanish import SPANISH
from tests.stages.languages.voices import Voice
from tests.stages.redteaming.step_builders import SAMPLING, published_rows
from tests.steps_support import ScriptedEngine, artifact, context, said

from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.model import Model
from selfalign_stages.contract.parameters import (
    InstructionsParameters,
    PromptsParameters,
    QuestionsParameters,
    TopicsParameters,
)
from selfalign_stages.contract.rows import Prompt, Topic
from selfalign_stages.engine.interface import Completion, Request
from selfalign_stages.redteaming import instructions, prompts, questions, topics
from selfalign_stages.step.context import StepContext

VOICES = pytest.mark.parametrize("voice", [SPANISH, CHINESE, ARABIC], ids=lambda voice: voice.name)


def step(
    folder: Path, voice: Voice, kind: Kind, parameters: Model, inputs: dict[str, ArtifactRef] | None = None
) -> StepContext:
    leaves = {"pack:queries": voice.uri, "suite:limits": "pack://limits"}
    return context(folder, kind, parameters=parameters, inputs=inputs, leaves=leaves)


@VOICES
def test_a_list_of_topics_is_read_with_the_numbers_and_marks_of_the_language(voice: Voice, tmp_path: Path) -> None:
    made = step(tmp_path, voice, "topics", TopicsParameters(topics_per_type=3, rounds=1, sampling=SAMPLING))
    manifest = topics.run(made, load=ScriptedEngine(lambda request: said(voice.topics)).load)
    published = published_rows(made, manifest, Topic)
    first_type = voice.pack.question_types[0].type
    first_draft = [topic for topic in published if topic.id.startswith("topics-1-0-")]
    assert [(topic.topic, topic.reject) for topic in first_draft] == voice.topic_verdicts
    assert {topic.type for topic in first_draft} == {first_type}
    # What a draft repeats of an earlier one is a duplicate; so every type keeps its seed and two topics.
    assert manifest.counts.kept == 3 * len(voice.pack.question_types)


@VOICES
def test_questions_lose_the_number_of_a_list_and_nothing_else(voice: Voice, tmp_path: Path) -> None:
    rows = [
        Topic(id=f"t{n}", type=kind.type, topic=kind.topic, round=0) for n, kind in enumerate(voice.pack.question_types)
    ]
    raw = [text for text, _ in voice.questions]

    def ask(request: Request) -> Completion:
        return said(raw[len(engine.requests) % len(raw) - 1])

    engine = ScriptedEngine(ask)
    parameters = QuestionsParameters(questions_per_topic=3, sampling=SAMPLING)
    made = step(tmp_path, voice, "questions", parameters, {"topics": artifact(tmp_path, "topics", rows)})
    published = published_rows(made, questions.run(made, load=engine.load), Prompt)
    read = [text for _, text in voice.questions]
    assert [prompt.instruction for prompt in published] == [read[n % len(read)] for n in range(len(published))]
    assert len(published) == 12 and not any(prompt.reject for prompt in published)


@VOICES
def test_tasks_are_read_filtered_and_compared_with_the_seeds(voice: Voice, tmp_path: Path) -> None:
    def name_tasks(request: Request) -> Completion:
        first, text = int(request.prompt.rpartition("Task ")[2].removesuffix(":")), voice.tasks
        for n in range(len(voice.task_verdicts)):
            text = text.replace(f"NUMBER+{n}", str(first + n))
        return said(text)

    parameters = InstructionsParameters(instructions=2, rounds=1, dedup_rouge_l=0.7, sampling=SAMPLING)
    made = step(tmp_path, voice, "instructions", parameters)
    manifest = instructions.run(made, load=ScriptedEngine(name_tasks).load)
    published = published_rows(made, manifest, Prompt)
    verdicts = [(task.instruction, task.input, task.reject) for task in published]
    assert verdicts == voice.task_verdicts
    assert manifest.counts.rejected == {"beyond-text": 1, "too-short": 1, "duplicate": 1}


@VOICES
def test_prompts_are_filtered_deduplicated_and_compared_with_the_suite(voice: Voice, tmp_path: Path) -> None:
    rows = [Prompt(id=f"q{n}", instruction=text, source="topic-guided") for n, text in enumerate(voice.prompt_verdicts)]
    # In a prompt with material, both count.
    task = voice.task_verdicts[1]
    inputs = {
        "questions": artifact(tmp_path, "questions", rows, key="1" * 64),
        "instructions": artifact(
            tmp_path,
            "instructions",
            [Prompt(id="i0", instruction=task[0], input=task[1], source="self-instruct")],
            key="2" * 64,
        ),
    }
    parameters = PromptsParameters(prompts=100, dedup_rouge_l=0.7, decontaminate=True)
    made = step(tmp_path, voice, "prompts", parameters, inputs)
    published = published_rows(made, prompts.run(made), Prompt)
    verdicts = {prompt.instruction: prompt.reject for prompt in published if prompt.source == "topic-guided"}
    duplicates = [text for text, reject in voice.prompt_verdicts.items() if reject == "duplicate"]
    # Of two near duplicates the first in the seeded order stays, which may be either.
    pair = [next(iter(voice.prompt_verdicts)), *duplicates]
    assert sorted(str(verdicts.pop(text)) for text in pair) == ["None", "duplicate"]
    assert verdicts == {text: reject for text, reject in voice.prompt_verdicts.items() if text not in pair}
    assert [prompt.reject for prompt in published if prompt.source == "self-instruct"] == [None]
