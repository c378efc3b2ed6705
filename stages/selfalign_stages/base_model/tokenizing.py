"""Reads the base model's tokenizer.json with the `tokenizers` library alone.

Preflight counts the tokens of a pack's prompts and checks that tokenizer and model belong together. Both would be
simpler with Transformers' AutoTokenizer, but that needs an image with Transformers and loads it for seconds.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from selfalign_stages.base_model.quoting import shown

MISSING = (
    "tokenizer.json: missing; write it with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), since "
    "training needs the character offsets that only this format provides"
)


def problems(data: bytes | None, *, config: Mapping[str, Any], special_tokens: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with a tokenizer, each message beginning with a file name.

    Args:
        data: content of tokenizer.json, or None if it is missing.
        config: config.json. A token id beyond its `vocab_size` has no embedding, and would end training with an index
            error or an illegal memory access on the GPU.
        special_tokens: special_tokens_map.json merged with tokenizer_config.json, which takes precedence. Its
            `eos_token` is what every training answer ends with.
    """
    if data is None:
        yield MISSING
        return
    try:
        vocabulary = _load(data).get_vocab(with_added_tokens=True)
    except Exception as error:  # tokenizers raises bare Exception for any malformed file
        yield f"tokenizer.json: cannot be read: {shown(str(error))}"
        return
    # Ids can have gaps, so the highest one counts and not their number; vocab_size is often padded beyond it.
    vocab_size, highest_id = config.get("vocab_size"), max(vocabulary.values(), default=-1)
    if type(vocab_size) is int and highest_id >= vocab_size:
        yield f"tokenizer.json: has token {highest_id}, the model's vocab_size in config.json is {shown(vocab_size)}"
    # A special token is a string, or an object with its string in `content` (a serialized AddedToken).
    eos_token = special_tokens.get("eos_token")
    text = eos_token.get("content") if isinstance(eos_token, dict) else eos_token
    if text is not None and (not isinstance(text, str) or text not in vocabulary):
        yield f"tokenizer_config.json: eos_token '{shown(text)}' is not in tokenizer.json"
    # Without an eos_token here, a tokenizer class has a default, or the model's config names the id.
    if text is None and "tokenizer_class" not in special_tokens and config.get("eos_token_id") is None:
        yield "tokenizer_config.json: names no eos_token; every training answer has to end with one"


def token_counter(data: bytes) -> Callable[[str], int]:
    """Returns a function that counts the tokens of a text, without the special tokens that begin a prompt.

    Args:
        data: content of a tokenizer.json that has passed `problems`.
    """
    tokenizer = _load(data)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _load(data: bytes) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_buffer(data)
