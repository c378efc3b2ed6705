"""The small base model and its toy world: small, whole, reproducible text, and a pack that fits."""

import hashlib
import json
import re
from random import Random

from hamlet import documents, kinds
from selfalign_stages import builtin
from selfalign_stages.pack import rendering
from selfalign_stages.pack.loading import load
from selfalign_stages.tuning import models

FOLDER = builtin.folder("models", "hamlet")


def test_the_model_is_small_and_says_how_it_was_made() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 12 << 20
    card = (FOLDER / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "hamlet.train" in card
    assert json.loads((FOLDER / "training.json").read_text())["steps"] == 1800


def test_its_heads_are_of_a_size_that_the_cpu_engine_takes() -> None:
    assert json.loads((FOLDER / "config.json").read_text())["head_dim"] == 32


def test_it_is_a_base_model_with_an_end_token_that_is_not_its_pad() -> None:
    tokenizer = models.load_tokenizer(FOLDER)
    assert tokenizer.chat_template is None
    assert tokenizer.eos_token_id != tokenizer.pad_token_id


def test_the_corpus_is_the_one_that_it_was_trained_on() -> None:
    random = Random(7)
    text = "\x00".join(documents.document(random) for _ in range(2000))
    assert hashlib.sha256(text.encode()).hexdigest().startswith("37f8a327897658cd")


def test_every_good_answer_matches_its_own_patterns_and_no_careless_one_does() -> None:

    random = Random(3)
    for name in kinds.KINDS:
        for _ in range(50):
            item = kinds.KINDS[name](random)
            assert all(re.search(pattern, item.good) for pattern in item.require), item
            assert not any(re.search(pattern, item.good) for pattern in item.forbid), item
            assert not all(re.search(pattern, item.careless) for pattern in item.require), item


def test_the_self_align_prompt_leaves_room_in_the_context() -> None:
    tokenizer = models.load_tokenizer(FOLDER)
    for name in ("Juniper", "Bartholomew", "Zoë"):
        prefix = rendering.self_align_prefix(load("builtin://hamlet"), assistant_name=name)
        assert len(tokenizer(prefix)["input_ids"]) < 870
