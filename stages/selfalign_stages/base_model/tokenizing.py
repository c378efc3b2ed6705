"""Reads the base model's tokenizer.json with the `tokenizers` library alone.

Preflight counts the tokens of a pack's prompts and checks that tokenizer and model belong together. Both would be
simpler with Transformers' AutoTokenizer, but that needs an image with Transformers and loads it for seconds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from selfalign_stages.base_model.quoting import shown

MISSING = (
    "tokenizer.json: missing; write it with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), since "
    "training needs the character offsets that only this format provides"
)


PROBE = "### User\nWhat  is {x}?\n\n### Ida\n- Ice.\n- Steam, at 100 %: né\n"
"""A conversation with what tokenizers lose: two blanks, newlines, marks, capitals, an accent."""


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
        tokenizer = _load(data)
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    except Exception as error:  # tokenizers raises bare Exception for any malformed file
        yield f"tokenizer.json: cannot be read: {shown(str(error))}"
        return
    text = special_text(special_tokens, "eos_token")
    yield from _embedding_problems(tokenizer, vocabulary, config=config, special_tokens=special_tokens)
    if text is not None and (not isinstance(text, str) or text not in vocabulary):
        yield f"tokenizer_config.json: eos_token '{shown(text)}' is not in tokenizer.json"
        return
    # Without an eos_token here, a tokenizer class has a default, or the model's config names the id.
    if text is None and "tokenizer_class" not in special_tokens and config.get("eos_token_id") is None:
        yield "tokenizer_config.json: names no eos_token; every training answer has to end with one"
    yield from _text_problems(tokenizer, eos=text)


def special_text(special_tokens: Mapping[str, Any], name: str) -> Any:
    """The text of a special token: a string, or an object with its string in `content` (a serialized AddedToken)."""
    token = special_tokens.get(name)
    return token.get("content") if isinstance(token, dict) else token


def _embedding_problems(
    tokenizer: Any, vocabulary: Mapping[str, int], *, config: Mapping[str, Any], special_tokens: Mapping[str, Any]
) -> Iterator[str]:
    """Yields tokens that a text may contain and that have no row in the model's embedding."""
    vocab_size = config.get("vocab_size")
    if type(vocab_size) is not int:
        return
    # An added special token beyond it, such as a placeholder for images, occurs in no text. What the run itself adds
    # must have a row: end, begin and padding.
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    named = [special_text(special_tokens, name) for name in ("eos_token", "bos_token", "pad_token", "unk_token")]
    used = {text for text in named if isinstance(text, str)}
    # Ids can have gaps, so the highest one counts and not their number; vocab_size is often padded beyond it.
    highest = max((number for text, number in vocabulary.items() if text not in added), default=-1)
    if highest >= vocab_size:
        yield f"tokenizer.json: has token {highest}, the model's vocab_size in config.json is {shown(vocab_size)}"
    for text in sorted(used & added):
        if vocabulary[text] >= vocab_size:
            yield (
                f"tokenizer_config.json: the special token '{shown(text)}' has id {vocabulary[text]}, the model's "
                f"vocab_size in config.json is {shown(vocab_size)}: name one that the model has an embedding for; the "
                "end token may serve as pad_token"
            )


def _text_problems(tokenizer: Any, *, eos: str | None) -> Iterator[str]:
    """Yields what the tokenizer does to a conversation that training and serving cannot bear."""
    ids = tokenizer.encode(PROBE).ids
    end = tokenizer.token_to_id(eos) if eos else None
    if end is not None and ids[-1:] == [end]:
        yield (
            f"tokenizer.json: ends every text with eos_token '{shown(eos)}', so every prompt would be complete before "
            "its answer; remove it from post_processor"
        )
    if eos and tokenizer.encode(eos, add_special_tokens=False).ids != [end]:
        yield (
            f"tokenizer.json: splits eos_token '{shown(eos)}' into other tokens; list it among added_tokens as special"
        )
    read = tokenizer.decode(ids, skip_special_tokens=True)
    # A leading blank is how tokenizers of the sentencepiece kind mark a word's start.
    if read.strip() != PROBE.strip():
        yield (
            f"tokenizer.json: loses text: {shown(PROBE)!r} is read back as {shown(read)!r}; training needs newlines, "
            "blanks and marks as they are: use a model whose tokenizer keeps them"
        )


def altered(data: bytes, texts: Iterable[str]) -> list[str]:
    """Returns the texts that the tokenizer does not give back, such as accents in another Unicode form than it uses.

    Args:
        data: content of a tokenizer.json that has passed `problems`.
        texts: names that prompts contain and completions have to repeat.
    """
    tokenizer = _load(data)
    return [text for text in texts if tokenizer.decode(tokenizer.encode(f"a {text}.").ids).strip() != f"a {text}."]


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
