"""Step topics on a file store with a scripted engine: what is published, with which seeds, and resume."""

import re
from collections import Counter
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
from tests.steps_support import ScriptedEngine, said

from selfalign_stages.contract.parameters import TopicsParameters
from selfalign_stages.contract.rows import Topic
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.redteaming import topics

TOPICS = TopicsParameters(topics_per_type=4, rounds=3, sampling=SAMPLING)


def name_topics(request: Request) -> Completion:
    """Two topics of the request's own, one that every list has, one that is no topic, and one that is cut."""
    first = int(request.prompt.rpartition("\n")[2].removesuffix("."))
    lines = [f"owl {request.seed}", f"mill {request.seed}", "the common one", "what is this?", "cu"]
    numbered = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=first))
    return said(numbered.removeprefix(f"{first}."), finish="length")


def make_topics(folder: Path, engine: ScriptedEngine, settings: TopicsParameters = TOPICS) -> list[Topic]:
    step = step_context(folder, "topics", settings)
    manifest = topics.run(step, load=engine.load)
    published = published_rows(step, manifest, Topic)
    assert manifest.counts.rows == len(published)
    assert manifest.counts.rejected == Counter(topic.reject for topic in published if topic.reject)
    return published


def test_topics_are_published_balanced_with_every_reject_reason(tmp_path: Path) -> None:
    engine = ScriptedEngine(name_topics)
    published = make_topics(tmp_path, engine)
    kept = Counter(topic.type for topic in published if topic.reject is None)
    assert kept == {name: 4 for name in TYPES}
    per_type = [topic for topic in published if topic.type == TYPES[0]]
    # One round of four completions suffices: 1 seed + 4 x 2 own + 1 common are new, 3 common ones are duplicates.
    assert Counter(topic.reject for topic in per_type) == {None: 4, "balance": 6, "duplicate": 3, "punctuation": 4}
    assert not [topic for topic in published if topic.topic == "cu"]
    assert engine.loaded == ["baseModel"]
    assert engine.decodings == [Decoding(temperature=0.9, top_p=0.8, max_tokens=50, stop=("\n\n",))]


def test_every_topic_completion_has_a_type_and_a_seed_of_its_own(tmp_path: Path) -> None:
    engine = ScriptedEngine(name_topics)
    make_topics(tmp_path, engine)
    assert [request.seed for request in engine.requests] == [seed_for(KEY, f"1-{n}", seed=SEED) for n in range(36)]
    for number, request in enumerate(engine.requests):
        kind = PACK.question_types[number // 4]
        assert f"Question type: {kind.type}\nTopics:\n1. {kind.topic}\n2." in request.prompt


def test_later_rounds_show_earlier_topics_and_end_when_every_type_has_enough(tmp_path: Path) -> None:
    engine = ScriptedEngine(name_topics)
    published = make_topics(tmp_path, engine, TOPICS.model_copy(update={"topics_per_type": 12}))
    assert len(engine.requests) == 2 * 36  # the third round is not needed
    assert {topic.round for topic in published} == {0, 1, 2}
    first_round = {topic.topic for topic in published if topic.round < 2 and topic.reject is None}
    for request in engine.requests[36:]:
        shown = re.findall(r"^\d+\. (.+)$", request.prompt, re.MULTILINE)
        assert len(shown) == 5
        assert set(shown) <= first_round


def test_topics_killed_in_round_two_generate_round_two_alone_and_give_the_same_rows(tmp_path: Path) -> None:
    settings = TOPICS.model_copy(update={"topics_per_type": 12})
    whole = make_topics(tmp_path / "whole", ScriptedEngine(name_topics), settings)
    with pytest.raises(Killed):
        make_topics(tmp_path / "killed", until_killed(name_topics, after=40), settings)
    resumed = ScriptedEngine(name_topics)
    assert make_topics(tmp_path / "killed", resumed, settings) == whole
    assert [request.seed for request in resumed.requests] == [seed_for(KEY, f"2-{n}", seed=SEED) for n in range(36)]


def test_topics_whose_drafts_are_all_there_load_no_engine(tmp_path: Path) -> None:
    first, second = ScriptedEngine(name_topics), ScriptedEngine(forbidden)
    assert make_topics(tmp_path, first) == make_topics(tmp_path, second)
    assert second.loaded == []
