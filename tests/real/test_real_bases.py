"""The first steps on base models that nobody here made: import, topics and questions. Run by `make real`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.real import bases
from tests.steps_support import context
from tokenizers import Tokenizer

from selfalign_stages.artifacts import reading
from selfalign_stages.base_model import importing
from selfalign_stages.contract.parameters import QuestionsParameters, Sampling, TopicsParameters
from selfalign_stages.contract.rows import Prompt, Topic
from selfalign_stages.pack import rendering
from selfalign_stages.pack.loading import load
from selfalign_stages.redteaming import questions, topics

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PACK = {"pack:queries": "builtin://dromedary-16"}


@pytest.mark.parametrize("base", [bases.gemma, bases.smollm2], ids=["gemma3-270m", "smollm2-135m-instruct"])
def test_a_real_base_is_imported_and_names_topics_and_questions(base: Callable[[], Path], tmp_path: Path) -> None:
    imported = importing.run(context(tmp_path, "import", leaves={"baseModel": base().as_uri()}))
    model = {"baseModel": imported.ref}
    sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=48)
    settings = TopicsParameters(topics_per_type=3, rounds=1, sampling=sampling)
    named = topics.run(context(tmp_path, "topics", parameters=settings, inputs=model, leaves=PACK))
    assert named.counts.kept > named.counts.rows / 4, named.counts
    asking = context(
        tmp_path,
        "questions",
        parameters=QuestionsParameters(questions_per_topic=1, sampling=sampling),
        inputs=model | {"topics": named.ref},
        leaves=PACK,
    )
    asked = questions.run(asking)
    rows = list(reading.rows(asking.store, asked, Prompt))
    kinds = {topic.type for topic in reading.rows(asking.store, named, Topic)}
    assert {row.type for row in rows} == kinds and asked.counts.kept > asked.counts.rows / 2
    assert len({row.instruction for row in rows}) > len(rows) / 2, "a degenerate model repeats itself"


@pytest.mark.parametrize("base", [bases.gemma, bases.smollm2], ids=["gemma3-270m", "smollm2-135m-instruct"])
def test_the_prefix_of_the_pack_for_small_bases_is_short(base: Callable[[], Path]) -> None:
    prefix = rendering.self_align_prefix(load("builtin://starter"), assistant_name="Juniper")
    assert len(Tokenizer.from_file(str(base() / "tokenizer.json")).encode(prefix).ids) < 900
