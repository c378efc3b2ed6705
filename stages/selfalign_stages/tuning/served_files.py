"""The files around the weights of a tuned model: those of the base model, byte for byte, but for what tuning changes.

Transformers writes configurations and tokenizers in the form of its own release. A model saved by release 5 loads in
4.57 with another rotary base and a generic tokenizer class, without an error, and loses tokenizer.model, which
llama.cpp needs. Whatever can load the base model must load the tuned one, so its files are copied. Changed are:

- config.json: `dtype` (`torch_dtype` in older files), and `eos_token_id` where it is not the tokenizer's own EOS;
- tokenizer_config.json: without the base model's `chat_template`, if it has one;
- chat_template.jinja: the template of the texts that were trained on;
- generation_config.json: the ids of the special tokens alone. A base model's own file may be invalid (a temperature
  without sampling), and its sampling suits another model; step `image` adds the sampling that was evaluated.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from selfalign_stages import chat

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
GENERATION_CONFIG, CHAT_TEMPLATE = "generation_config.json", "chat_template.jinja"
REPLACED_PREFIXES = ("source.json", "README", "chat_template", GENERATION_CONFIG, "model.safetensors.index")
"""Files of the import artifact that a tuned model does not keep, by the start of their names: records of the import,
the base model's card, and what this module or the weights write."""


def copy(base: Path, folder: Path) -> None:
    """Copies the base model's configuration, tokenizer and licence files; tokenizer_config.json loses its template.

    Args:
        base: folder of the imported base model.
        folder: folder of the tuned model, which exists.
    """
    for path in sorted(base.iterdir()):
        if path.is_file() and path.suffix != ".safetensors" and not path.name.startswith(REPLACED_PREFIXES):
            shutil.copyfile(path, folder / path.name)
    tokenizer_config = folder / TOKENIZER_CONFIG
    if tokenizer_config.is_file():
        change(tokenizer_config, {"chat_template": None})


def write_template(tokenizer: Any, folder: Path, *, assistant_name: str, thoughts: bool = False) -> None:
    """Writes chat template and generation config.

    A base tokenizer has no chat template. Without one a server either refuses chat requests or applies a default that
    the model was not trained on.

    Args:
        tokenizer: the base model's tokenizer (transformers).
        folder: folder of the tuned model.
        assistant_name: heading of the assistant's turns in the template.
        thoughts: whether the model was trained on thoughts, which the template leaves out of earlier answers.
    """
    template = chat.template(assistant_name, bos=adds_bos(tokenizer), thoughts=thoughts)
    (folder / CHAT_TEMPLATE).write_text(template)
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write(folder / GENERATION_CONFIG, {name: number for name, number in ids.items() if number is not None})


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer begins every text with its BOS token; settings may say otherwise, its output decides."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def set_dtype(folder: Path, *, dtype: str, eos: int) -> None:
    """Changes the two keys of config.json that the weights and the trained end token decide.

    Args:
        folder: folder of the tuned model, with the base model's config.json.
        dtype: name of a torch dtype.
        eos: id of the token that every trained answer ends with.
    """
    path = folder / CONFIG
    config = json.loads(path.read_bytes())
    changes: dict[str, Any] = {"dtype" if "dtype" in config else "torch_dtype": dtype}
    known = config.get("eos_token_id")
    if eos not in (known if isinstance(known, list) else [known]):
        changes["eos_token_id"] = eos
    change(path, changes)


def change(path: Path, changes: dict[str, Any]) -> None:
    """Changes top-level keys of a JSON file; None removes one. A file that they leave equal keeps its bytes."""
    before = json.loads(path.read_bytes())
    removed = {name for name, value in changes.items() if value is None}
    after = {name: changes.get(name, value) for name, value in before.items() if name not in removed}
    after |= {name: value for name, value in changes.items() if value is not None}
    if after != before:
        _write(path, after)


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
