"""What the shipped weights were trained on, and how much of the context the pack takes."""

import hashlib
from random import Random

import pytest

from hamlet import documents
from selfalign_stages import builtin
from selfalign_stages.pack import rendering
from selfalign_stages.pack.loading import load
from selfalign_stages.tuning import models


def test_the_corpus_is_the_one_that_the_shipped_weights_were_trained_on() -> None:
    random = Random(7)
    text = "\x00".join(documents.document(random) for _ in range(2000))
    assert hashlib.sha256(text.encode()).hexdigest().startswith("93ba7e1e8e176677")


@pytest.mark.parametrize("name", ["Juniper", "Bartholomew", "Zoë"])
def test_the_self_align_prompt_leaves_room_for_an_answer_under_longer_names_too(name: str) -> None:
    tokenizer = models.load_tokenizer(builtin.folder("models", "hamlet"))
    prefix = rendering.self_align_prefix(load("builtin://hamlet"), assistant_name=name)
    assert len(tokenizer(prefix)["input_ids"]) < 870
