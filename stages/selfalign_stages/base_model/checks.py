"""What makes a folder of files an unfit base model, by file name. Pure: listing and small files in, messages out."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfalign_stages.base_model import architectures, selection, tokenizing
from selfalign_stages.base_model.sources import SourceFile

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")
CHAT_NAME = re.compile(r"(^|[-_.])(instruct|chat|it|sft|dpo|rlhf|assistant)($|[-_.])", re.IGNORECASE)
TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class Fitness:
    """Files to import, problems that refuse the model, warnings that do not; `weight_map` as the index has it."""

    files: selection.Selection
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    config: Mapping[str, Any]
    weight_map: Mapping[str, str]


def check_files(listing: Sequence[SourceFile], small: Mapping[str, bytes], *, name: str) -> Fitness:
    """The verdict on the model that is called `name` (the last part of its address)."""
    paths = {file.path for file in listing}
    problems = [f"{path}: leaves the model's folder" for path in sorted(paths) if _escapes(path)]
    parsed = {path: _json(path, small.get(path), problems) for path in selection.SMALL if path.endswith(".json")}
    config = parsed[selection.CONFIG]
    if selection.CONFIG not in small:
        what = "is a LoRA adapter" if "adapter_config.json" in paths else "is no Transformers model folder"
        problems.append(f"config.json: missing; this {what}")
    weight_map = _weight_map(small, problems)
    problems += _weights(paths, weight_map)
    problems += tokenizing.problems(
        small.get(selection.TOKENIZER),
        config=config,
        special={**parsed[selection.SPECIAL_TOKENS], **parsed[selection.TOKENIZER_CONFIG]},
    )
    problems += [*_architecture(config), *_remote(parsed, paths), *_quantised(config)]
    return Fitness(
        files=selection.select(listing, weight_map=weight_map),
        problems=tuple(problems),
        warnings=tuple(_chat(name, parsed[selection.TOKENIZER_CONFIG], paths)),
        config=config,
        weight_map=weight_map,
    )


def _json(path: str, data: bytes | None, problems: list[str]) -> dict[str, Any]:
    """A file's JSON object; empty, with a problem told, where it is something else."""
    if data is None or path in (selection.TOKENIZER, selection.INDEX):
        return {}
    try:
        loaded = json.loads(data)
    except ValueError as error:
        problems.append(f"{path}: is not JSON: {error}")
        return {}
    if not isinstance(loaded, dict):
        problems.append(f"{path}: is no JSON object")
        return {}
    return loaded


def _weight_map(small: Mapping[str, bytes], problems: list[str]) -> dict[str, str]:
    try:
        return selection.weight_map(small.get(selection.INDEX))
    except ValueError as error:
        problems.append(f"{selection.INDEX}: {error}")
        return {}


def _weights(paths: set[str], weight_map: Mapping[str, str]) -> Iterator[str]:
    for shard in sorted(set(weight_map.values())):
        if "/" in shard or not shard.endswith(".safetensors"):
            yield f"{shard}: named in {selection.INDEX} but is no *.safetensors beside it"
        elif shard not in paths:
            yield f"{shard}: named in {selection.INDEX} but missing"
    if weight_map or selection.INDEX in paths or selection.WEIGHTS in paths:
        return
    pickled = sorted(path for path in paths if path.endswith(PICKLES))
    if pickled:
        yield f"{pickled[0]}: pickled weights can run code and are never loaded; save them as {selection.WEIGHTS}"
    else:
        yield f"{selection.WEIGHTS}: missing; the model has neither this file nor {selection.INDEX}"


def _architecture(config: Mapping[str, Any]) -> Iterator[str]:
    if not config:
        return
    named = config.get("architectures")
    if not isinstance(named, list) or not named:
        yield "config.json: names no architectures"
    elif refusal := architectures.refusal(str(named[0]), str(config.get("model_type"))):
        yield f"config.json: {refusal}"


def _remote(parsed: Mapping[str, Mapping[str, Any]], paths: set[str]) -> Iterator[str]:
    for path in (selection.CONFIG, selection.TOKENIZER_CONFIG):
        if "auto_map" in parsed[path]:
            code = ", ".join(sorted(file for file in paths if file.endswith(".py"))) or "code from elsewhere"
            yield f"{path}: auto_map asks to run {code}; remote code is never run: use a model without it"


def _quantised(config: Mapping[str, Any]) -> Iterator[str]:
    if quantisation := config.get("quantization_config"):
        method = quantisation.get("quant_method", "unknown") if isinstance(quantisation, dict) else quantisation
        yield f"config.json: the weights are quantised ({method}); training and merging need the 16 or 32 bit model"


def _chat(name: str, tokenizer_config: Mapping[str, Any], paths: set[str]) -> Iterator[str]:
    if CHAT_NAME.search(name):
        yield f"{name}: is named like a chat model; SELF-ALIGN starts from a base model"
    template = next((path for path in TEMPLATES if path in paths), None)
    if template is None and tokenizer_config.get("chat_template"):
        template = selection.TOKENIZER_CONFIG
    if template:
        yield f"{template}: has a chat template, as chat models do; SELF-ALIGN starts from a base model"


def _escapes(path: str) -> bool:
    return path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/")
