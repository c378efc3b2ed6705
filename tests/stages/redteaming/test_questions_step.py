"""Step questions on a file store with a scripted engine: what is published, with which seeds, and resume."""

import re
from pathlib import Path

import pytest
from tests.stages.redteaming.step_builders import (
    KEY,
    PACK,
    SAMPLING,
    SEED,
    TYPES,
    Killed,
    forbidden,
    published_rows,
    step_context,
    until_killed,
)
from tests.steps_support import ScriptedEngine, artifact, said

from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import QuestionsParameters
from selfalign_stages.contract.rows import Prompt, Topic
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.redteaming import questions

REPEATS = 120
QUESTIONS = QuestionsParameters(questions_per_topic=REPEATS, sampling=SAMPLING)
TOPIC_ROWS = [
    Topic(id="t0", type=TYPES[0], topic="kettle", round=0),
    Topic(id="t1", type=TYPES[1], topic="brick", round=1),
    Topic(id="t2", type=TYPES[1], topic="moss", round=1, reject="duplicate"),
    Topic(id="t3", type=TYPES[2], topic="otter", round=2),
]


def ask(request: Request) -> Completion:
    """A question, but for one record each that is cut, empty or without room in the context."""
    special = {
        seed_for(KEY, "t0-3", seed=SEED): said(" How would you", finish="length"),
        seed_for(KEY, "t1-4", seed=SEED): said("  "),
        seed_for(KEY, "t3-5", seed=SEED): Completion(text="", finish_reason="abort", tokens=0),
    }
    return special.get(request.seed, said(f" Question {request.seed}?"))


def make_questions(folder: Path, engine: ScriptedEngine) -> tuple[Manifest, list[Prompt]]:
    step = step_context(folder, "questions", QUESTIONS, {"topics": artifact(folder, "topics", TOPIC_ROWS)})
    manifest = questions.run(step, load=engine.load)
    return manifest, published_rows(step, manifest, Prompt)


def test_every_kept_topic_gets_its_questions_with_type_topic_and_source(tmp_path: Path) -> None:
    engine = ScriptedEngine(ask)
    manifest, published = make_questions(tmp_path, engine)
    names = [(topic, repeat) for topic in ("t0", "t1", "t3") for repeat in range(REPEATS)]
    assert [prompt.id for prompt in published] == [f"question-{topic}-{repeat}" for topic, repeat in names]
    assert [request.seed for request in engine.requests] == [seed_for(KEY, f"{t}-{r}", seed=SEED) for t, r in names]
    assert {(p.type, p.topic, p.seeds) for p in published} == {
        (TYPES[0], "kettle", ("t0",)),
        (TYPES[1], "brick", ("t1",)),
        (TYPES[2], "otter", ("t3",)),
    }
    assert {p.source for p in published} == {"topic-guided"}
    assert published[0].instruction == f"Question {seed_for(KEY, 't0-0', seed=SEED)}?"
    assert engine.decodings == [Decoding(temperature=0.9, top_p=0.8, max_tokens=50, stop=("\n",))]
    assert (manifest.counts.rows, manifest.counts.kept) == (3 * REPEATS, 3 * REPEATS - 3)


def test_prompts_that_a_type_brings_by_hand_count_as_its_questions() -> None:
    first, second, *others = PACK.question_types
    kinds = (first.model_copy(update={"prompts": ("a", "b", "c")}), second, *others)
    pack = PACK.model_copy(update={"question_types": kinds})
    topics = [Topic(id=f"t{n}", type=kind, topic="x", round=0) for n, kind in enumerate([TYPES[0], TYPES[0], TYPES[1]])]
    listed = [(topic.id, repeat) for topic, repeat in questions.asked(topics, pack, per_topic=3)]
    # Three of six are left, over both topics.
    assert listed == [("t0", 0), ("t0", 1), ("t1", 0), ("t2", 0), ("t2", 1), ("t2", 2)]


def test_a_type_with_more_prompts_by_hand_than_questions_has_none_generated() -> None:
    kinds = tuple(kind.model_copy(update={"prompts": ("a", "b", "c")}) for kind in PACK.question_types)
    topic = Topic(id="t", type=TYPES[0], topic="x", round=0)
    assert questions.asked([topic], PACK.model_copy(update={"question_types": kinds}), per_topic=2) == []


def test_cut_and_empty_questions_are_rejected_and_counted(tmp_path: Path) -> None:
    manifest, published = make_questions(tmp_path, ScriptedEngine(ask))
    rejected = {prompt.id: prompt.reject for prompt in published if prompt.reject}
    assert rejected == {"question-t0-3": "cut", "question-t1-4": "empty", "question-t3-5": "cut"}
    assert manifest.counts.rejected == {"cut": 2, "empty": 1}


def test_a_question_prompt_ends_open_at_its_type_and_topic_after_five_solved_lines(tmp_path: Path) -> None:
    engine = ScriptedEngine(ask)
    make_questions(tmp_path, engine)
    solved = {f"[{kind.type}; {kind.topic}] {kind.question}" for kind in PACK.question_types}
    shown = set()
    for request in engine.requests[:REPEATS]:
        lines = re.findall(r"^\d+\. (.+)$", request.prompt, re.MULTILINE)
        assert lines[-1] == f"[{TYPES[0]}; kettle]"
        assert len(lines[:-1]) == 5 and set(lines[:-1]) <= solved
        shown.add(tuple(lines[:-1]))
    assert len(shown) > REPEATS / 2  # the solved lines vary from record to record


def test_killed_questions_continue_after_the_last_whole_chunk_and_give_the_same_bytes(tmp_path: Path) -> None:
    whole, _ = make_questions(tmp_path / "whole", ScriptedEngine(ask))
    with pytest.raises(Killed):
        make_questions(tmp_path / "killed", until_killed(ask, after=questions.CHUNK_SIZE + 50))
    resumed = ScriptedEngine(ask)
    manifest, _ = make_questions(tmp_path / "killed", resumed)
    assert len(resumed.requests) == 3 * REPEATS - questions.CHUNK_SIZE
    assert manifest.files == whole.files  # names, sizes and SHA-256
    assert [entry.name for entry in whole.files] == ["part-00000.jsonl.zst", "part-00001.jsonl.zst"]


def test_questions_that_are_all_there_load_no_engine(tmp_path: Path) -> None:
    make_questions(tmp_path, ScriptedEngine(ask))
    second = ScriptedEngine(forbidden)
    make_questions(tmp_path, second)
    assert second.loaded == []
