"""Checks whether a model is fit to be the base of a run, from its file names and its small files.

Preflight calls this before a GPU is requested, and step `import` once more before it copies anything. All problems
are collected instead of the first being raised, so that a user can correct a model in one round. Pure: opens no file.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfalign_stages.base_model import architectures, selection, tokenizing
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import SourceFile
from selfalign_stages.contract import strict_json
from selfalign_stages.contract.paths import check_name

PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")
"""Formats of weights other than safetensors; the message for them names one of these files."""
CHAT_NAME = re.compile(r"(^|[-_.])(instruct|chat|it|sft|dpo|rlhf|assistant)($|[-_.])", re.IGNORECASE)
"""Parts by which the names of published chat models differ from those of their base models."""
MOST_SHARDS = 5
"""Shards that are named among the problems: an index without its weights has a hundred of them."""
CHAT_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class Fitness:
    """The result of checking a model.

    Args:
        files: what to import.
        problems: messages that refuse the model, each beginning with the file or name concerned.
        warnings: messages that do not refuse it.
        config: config.json, empty if it cannot be read.
        weight_map: shard of every tensor, from the index; empty for weights in one file.
    """

    files: selection.Selection
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    config: Mapping[str, Any]
    weight_map: Mapping[str, str]


def check_files(files: Sequence[SourceFile], small_files: Mapping[str, bytes], *, name: str) -> Fitness:
    """Checks a model: format of the weights, architecture, tokenizer, quantisation and remote code.

    Args:
        files: the source's listing.
        small_files: contents by path of those of selection.CHECKED_FILES that exist.
        name: last part of the model's address, which may give away a chat model.
    """
    paths = {file.path for file in files}
    problems = [*_name_problems(paths), *_size_problems(files)]
    objects = {
        path: _parse_object(path, small_files.get(path), problems)
        for path in selection.CHECKED_FILES
        if path.endswith(".json")
    }
    config = objects[selection.CONFIG]
    if selection.CONFIG not in paths:
        what = "is a LoRA adapter" if "adapter_config.json" in paths else "is not a Transformers model folder"
        problems.append(f"config.json: missing; this {what}")
    weight_map = _weight_map(small_files, problems)
    # Every check runs on what could be parsed: an empty config adds no problems beyond its own.
    problems += _weight_problems(paths, weight_map)
    if selection.TOKENIZER in small_files or selection.TOKENIZER not in paths:
        problems += tokenizing.problems(
            small_files.get(selection.TOKENIZER),
            config=config,
            special_tokens={**objects[selection.SPECIAL_TOKENS], **objects[selection.TOKENIZER_CONFIG]},
        )
    problems += _architecture_problems(config)
    problems += _remote_code_problems(objects, paths)
    problems += _quantisation_problems(config)
    selected = selection.select(files, weight_map=weight_map)
    problems += _twin_problems([*selected.model_files, *selected.documents])
    return Fitness(
        files=selected,
        problems=tuple(problems),
        warnings=tuple(_chat_warnings(name, objects[selection.TOKENIZER_CONFIG], paths)),
        config=config,
        weight_map=weight_map,
    )


def positive(value: Any) -> int | None:
    """Returns a whole number above 0, such as a length; None for anything else that JSON can hold."""
    return value if type(value) is int and value > 0 else None  # type(): JSON's true is an int for isinstance


def _name_problems(paths: set[str]) -> Iterator[str]:
    """Yields names that are no path of a file below a folder; a hub or bucket may list any text."""
    for path in sorted(paths):
        try:
            check_name(path)
        except ValueError as error:
            yield f"{shown(path)}: leaves the model's folder: {shown(str(error))}"


def _size_problems(files: Sequence[SourceFile]) -> Iterator[str]:
    for file in files:
        if selection.is_too_large(file):
            yield f"{shown(file.path)}: has {file.size >> 20} MiB, which no file of this kind has; replace it"


def _twin_problems(files: Sequence[SourceFile]) -> Iterator[str]:
    """Yields files that are one file where names differ neither by case nor by the form of their accents."""
    paths: dict[str, str] = {}
    for file in files:
        name = unicodedata.normalize("NFC", file.path).casefold()
        twin = paths.get(name)
        if twin == file.path:
            yield f"{shown(file.path)}: is listed twice; remove one of them"
        elif twin is not None:
            yield f"{shown(file.path)}: is the same as {shown(twin)} on disks that ignore case; remove one of them"
        paths[name] = file.path


def _parse_object(path: str, data: bytes | None, problems: list[str]) -> dict[str, Any]:
    """Parses a JSON object; returns an empty one, and adds a problem, for anything else.

    Tokenizer and index are left out: they have parsers of their own, and a tokenizer.json may have tens of megabytes.
    """
    if data is None or path in (selection.TOKENIZER, selection.INDEX):
        return {}
    try:
        loaded = strict_json.loads(data, infinities=True)
    except ValueError as error:
        problems.append(f"{path}: is not JSON: {shown(str(error))}")
        return {}
    if not isinstance(loaded, dict):
        problems.append(f"{path}: is not a JSON object")
        return {}
    return loaded


def _weight_map(small_files: Mapping[str, bytes], problems: list[str]) -> dict[str, str]:
    try:
        return selection.parse_weight_map(small_files.get(selection.INDEX))
    except ValueError as error:
        problems.append(f"{selection.INDEX}: {error}")
        return {}


def _weight_problems(paths: set[str], weight_map: Mapping[str, str]) -> Iterator[str]:
    missing = [shard for shard in sorted(set(weight_map.values())) if not _is_shard(shard) or shard not in paths]
    for shard in missing[:MOST_SHARDS]:
        what = "missing" if _is_shard(shard) else "not a *.safetensors file beside it"
        yield f"{shown(shard)}: named in {selection.INDEX} but {what}"
    if len(missing) > MOST_SHARDS:
        yield f"{selection.INDEX}: names {len(missing) - MOST_SHARDS} more shards like these"
    if weight_map or selection.INDEX in paths or selection.WEIGHTS in paths:
        return
    # A model with weights in another format gets a remedy instead of "missing".
    pickled = sorted(path for path in paths if path.endswith(PICKLED_SUFFIXES))
    if pickled:
        file = shown(pickled[0])
        yield f"{file}: pickled weights can run code and are never loaded; save them as {selection.WEIGHTS}"
    else:
        yield f"{selection.WEIGHTS}: missing; the model has neither this file nor {selection.INDEX}"


def _is_shard(name: str) -> bool:
    """Whether an index may name this: a path could lead out of the folder, and another suffix could be a pickle."""
    try:
        check_name(name)
    except ValueError:
        return False
    return "/" not in name and name.endswith(".safetensors")


def _architecture_problems(config: Mapping[str, Any]) -> Iterator[str]:
    if not config:
        return  # missing or malformed, which is a problem of its own already
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        yield "config.json: names no architectures"
    elif problem := architectures.problem(shown(names[0]), shown(config.get("model_type"))):
        yield f"config.json: {problem}"


def _remote_code_problems(objects: Mapping[str, Mapping[str, Any]], paths: set[str]) -> Iterator[str]:
    """Yields problems of `auto_map`, by which Transformers loads Python code of the repository (trust_remote_code)."""
    for path in (selection.CONFIG, selection.TOKENIZER_CONFIG):
        if "auto_map" in objects[path]:
            files = sorted(file for file in paths if file.endswith(".py"))
            code = shown(", ".join(files)) or "code of another repository"
            yield f"{path}: auto_map refers to {code}; remote code is never run: use a model without it"


def _quantisation_problems(config: Mapping[str, Any]) -> Iterator[str]:
    if quantisation := config.get("quantization_config"):
        method = quantisation.get("quant_method", "unknown") if isinstance(quantisation, dict) else quantisation
        what = f"quantised ({shown(method)})"
        yield f"config.json: the weights are {what}; training and merging need the 16 or 32 bit model"


def _chat_warnings(name: str, tokenizer_config: Mapping[str, Any], paths: set[str]) -> Iterator[str]:
    """Yields signs of a chat model. These are warnings: some base models are published with a chat template."""
    if CHAT_NAME.search(name):
        yield f"{shown(name)}: the name is that of a chat model; SELF-ALIGN starts from a base model"
    # The file takes precedence over the entry of tokenizer_config.json, as in Transformers.
    template = next((path for path in CHAT_TEMPLATE_FILES if path in paths), None)
    if template is None and tokenizer_config.get("chat_template"):
        template = selection.TOKENIZER_CONFIG
    if template:
        yield f"{template}: has a chat template, as chat models do; SELF-ALIGN starts from a base model"
