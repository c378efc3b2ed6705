"""Tokenizers that training and serving cannot use are refused before anything is imported; others are not."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.stages.base_model import folders
from tokenizers import Tokenizer, normalizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from selfalign_stages.base_model import tokenizing

END = {"eos_token": "<end>"}


def problems(made: Tokenizer, special_tokens: Mapping[str, Any] = END, **config: Any) -> list[str]:
    return list(tokenizing.problems(made.to_str().encode(), config=config, special_tokens=special_tokens))


def normalised(normalizer: Any) -> Tokenizer:
    made = folders.byte_level()
    made.normalizer = normalizer
    return made


def word_level() -> Tokenizer:
    words = ("<unk>", "<end>", "harbour", "lantern")
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = Whitespace()
    made.add_special_tokens(["<end>"])
    return made


LOSING: dict[str, Callable[[], Tokenizer]] = {
    "newlines": lambda: normalised(normalizers.Replace("\n", " ")),
    "double blanks": lambda: normalised(normalizers.Replace("  ", " ")),
    "capitals, as BERT does": lambda: normalised(normalizers.BertNormalizer(lowercase=True)),
    "accents": lambda: normalised(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])),
    "all that is no known word": word_level,
}


@pytest.mark.parametrize("made", LOSING.values(), ids=LOSING.keys())
def test_a_tokenizer_that_loses_text_is_refused_with_what_it_makes_of_it(made: Callable[[], Tokenizer]) -> None:
    (found,) = problems(made())
    assert found.startswith("tokenizer.json: loses text: '### User") and "is read back as" in found


def with_template(single: str) -> Tokenizer:
    made = folders.byte_level()
    made.add_special_tokens(["<begin>"])
    made.post_processor = TemplateProcessing(
        single=single, special_tokens=[("<end>", made.token_to_id("<end>")), ("<begin>", made.token_to_id("<begin>"))]
    )
    return made


def test_a_tokenizer_that_ends_every_text_is_refused_and_one_that_begins_it_is_not() -> None:
    (found,) = problems(with_template("$A <end>"))
    assert "ends every text with eos_token '<end>'" in found and "post_processor" in found
    assert problems(with_template("<begin> $A"), END | {"bos_token": "<begin>"}, vocab_size=300) == []


def test_an_end_token_of_several_tokens_is_refused() -> None:
    made = folders.byte_level()
    text = made.to_str().replace('"<end>"', '"</s>"').replace('"special":true', '"special":true')
    vocabulary = Tokenizer.from_str(text)
    # in the vocabulary, but not among the added tokens: text never becomes this one
    plain = Tokenizer.from_str(vocabulary.to_str())
    plain.model = type(plain.model)(plain.get_vocab(with_added_tokens=False) | {"<stop>": 260}, merges=[])
    (found,) = problems(plain, {"eos_token": "<stop>"})
    assert "splits eos_token '<stop>' into other tokens" in found and "added_tokens" in found


@pytest.mark.parametrize("name", ["eos_token", "bos_token", "pad_token"])
def test_a_special_token_without_an_embedding_is_refused_if_the_run_adds_it_to_texts(name: str) -> None:
    made = folders.byte_level()
    made.add_special_tokens(["<late>"])
    found = problems(made, END | {name: "<late>"}, vocab_size=257)
    assert [
        one for one in found if "special token '<late>' has id 257, the model's vocab_size in config.json is 257" in one
    ]


def test_a_special_token_beyond_the_embedding_that_no_text_contains_is_no_problem() -> None:
    made = folders.byte_level()
    made.add_special_tokens(["<image_soft_token>"])
    assert problems(made, END, vocab_size=257) == []


def test_an_ordinary_token_beyond_the_embedding_is_refused() -> None:
    (found,) = problems(folders.byte_level(), END, vocab_size=200)[:1]
    assert "has token 255, the model's vocab_size in config.json is 200" in found


def test_names_in_another_unicode_form_than_the_tokenizer_s_are_found() -> None:
    data = normalised(normalizers.NFC()).to_str().encode()
    decomposed = "Zoe\u0308"
    assert tokenizing.altered(data, ["Ida", "Zo\u00eb", decomposed]) == [decomposed]
