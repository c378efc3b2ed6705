"""Trained, evaluated and served text have the same token ids, with and without a BOS token."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from selfalign_stages import builtin, chat
from selfalign_stages.tuning import examples, models, served_files
from selfalign_stages.tuning.examples import Pair

NAME = "Ida"


@pytest.fixture(params=["no BOS", "BOS"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The tokenizer of a model folder, which adds BOS or not, with its saved chat template."""
    source = builtin.folder("models", "hamlet")
    for path in source.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    fast = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    if request.param == "BOS":
        special = next(token.content for token in fast.get_added_tokens_decoder().values())
        number = fast.token_to_id(special)
        fast.post_processor = TemplateProcessing(single=f"{special} $A", special_tokens=[(special, number)])
        fast.save(str(tmp_path / "tokenizer.json"))
        served_files.change(tmp_path / "tokenizer_config.json", {"bos_token": special})
    loaded = models.load_tokenizer(tmp_path)
    served_files.write_template(loaded, tmp_path, assistant_name=NAME)
    saved = models.load_tokenizer(tmp_path)
    assert served_files.adds_bos(saved) == (request.param == "BOS")
    return saved


def served(tokenizer: Any, messages: list[dict[str, str]], *, open_answer: bool) -> list[int]:
    """As vLLM's chat endpoint: the rendered template, tokenised without special tokens."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_answer)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    directly = tokenizer.apply_chat_template(messages, add_generation_prompt=open_answer, return_dict=False)
    assert directly == ids
    return ids


def test_a_question_is_served_as_it_is_evaluated(tokenizer: Any) -> None:
    evaluated = tokenizer(chat.question("What is ice?", assistant_name=NAME))["input_ids"]
    assert served(tokenizer, [{"role": "user", "content": "What is ice?"}], open_answer=True) == evaluated


def test_a_question_is_trained_as_it_is_served(tokenizer: Any) -> None:
    def encode(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoded = tokenizer(text, return_offsets_mapping=True)
        return encoded["input_ids"], encoded["offset_mapping"]

    (example,), _ = examples.encode(
        [Pair("p", "What is ice?", "Frozen water.")],
        encode,
        assistant_name=NAME,
        eos_token=tokenizer.eos_token,
        max_length=200,
    )
    turn = [{"role": "user", "content": "What is ice?"}, {"role": "assistant", "content": "Frozen water."}]
    assert served(tokenizer, turn, open_answer=False) == list(example.input_ids)


def test_two_turns_begin_with_one_bos_and_keep_the_first_turn_as_it_was_trained(tokenizer: Any) -> None:
    turns = [
        {"role": "user", "content": "What is ice?"},
        {"role": "assistant", "content": "Frozen water."},
        {"role": "user", "content": "And steam?"},
    ]
    ids, first = served(tokenizer, turns, open_answer=True), served(tokenizer, turns[:2], open_answer=False)
    assert ids[: len(first)] == first
    if served_files.adds_bos(tokenizer):
        assert ids[0] == tokenizer.bos_token_id != ids[1]
