"""The base model's own tokenizer, read without transformers: whether it fits the model, and counts of tokens."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

MISSING = (
    "tokenizer.json: missing; write it with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), since "
    "training needs the offsets that only this format gives"
)


def problems(data: bytes | None, *, config: Mapping[str, Any], special: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a tokenizer.json beside config.json and the special tokens of tokenizer_config.json."""
    if data is None:
        yield MISSING
        return
    try:
        known = _load(data).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises bare Exception for whatever is wrong with the file
        yield f"tokenizer.json: cannot be read: {error}"
        return
    rows, highest = config.get("vocab_size"), max(known.values(), default=-1)
    if isinstance(rows, int) and highest >= rows:
        yield f"tokenizer.json: has token {highest}, the model's vocab_size in config.json is {rows}"
    end = special.get("eos_token")
    text = end.get("content") if isinstance(end, dict) else end
    if isinstance(text, str) and text not in known:
        yield f"tokenizer_config.json: eos_token {text!r} is not in tokenizer.json"
    if text is None and "tokenizer_class" not in special and config.get("eos_token_id") is None:
        yield "tokenizer_config.json: names no eos_token; an answer needs an end token to be trained on"


def counter(data: bytes) -> Callable[[str], int]:
    """Tokens of a text, special ones not added."""
    tokenizer = _load(data)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _load(data: bytes) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_buffer(data)
