"""What makes a folder of files an unfit base model, told by file name. Pure: listing and config in, messages out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfalign_stages.base.sources import SourceFile

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".msgpack", ".h5")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
WANTED = re.compile(
    r"[^/]+\.safetensors|[^/]+\.safetensors\.index\.json|config\.json|generation_config\.json|tokenizer[^/]*|"
    r"special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|spiece\.model|LICEN[CS]E[^/]*|README\.md"
)
SMALL = ("config.json", "tokenizer_config.json", "model.safetensors.index.json", "README.md")
CHAT_NAME = re.compile(r"(^|[-_/])(instruct|chat|it|sft|dpo|rlhf|assistant)($|[-_])", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """Files to import, problems that refuse the model, warnings that do not."""

    files: tuple[SourceFile, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def judge(
    listing: Sequence[SourceFile], small: Mapping[str, bytes], *, name: str, architectures: frozenset[str]
) -> Verdict:
    """The verdict on a model; `architectures` are those that the engine knows (empty: not asked)."""
    paths = {file.path for file in listing}
    config, problems = _config(small)
    problems += (
        _weights(paths, small) + _tokenizer(paths) + _architecture(config, architectures) + _remote(config, paths)
    )
    problems += [f"{path}: leaves the model's folder" for path in sorted(paths) if _escapes(path)]
    warnings = _chat(name, small, paths)
    if "quantization_config" in config:
        warnings.append("config.json: the weights are quantised; merging wants the 16-bit base model")
    files = tuple(file for file in listing if WANTED.fullmatch(file.path))
    return Verdict(files=files, problems=tuple(problems), warnings=tuple(warnings))


def _config(small: Mapping[str, bytes]) -> tuple[dict[str, object], list[str]]:
    if "config.json" not in small:
        return {}, ["config.json: missing; this is no Transformers model folder"]
    try:
        config = json.loads(small["config.json"])
    except ValueError as error:
        return {}, [f"config.json: is not JSON: {error}"]
    return (config, []) if isinstance(config, dict) else ({}, ["config.json: is no JSON object"])


def _weights(paths: set[str], small: Mapping[str, bytes]) -> list[str]:
    safe = {path for path in paths if path.endswith(".safetensors")}
    if not safe:
        pickled = sorted(path for path in paths if path.endswith(PICKLES))
        if pickled:
            return [f"{pickled[0]}: pickled weights can run code and are never loaded; convert them to safetensors"]
        return ["model.safetensors: missing; the model has no weights"]
    if "model.safetensors.index.json" not in small:
        return []
    try:
        named = set(json.loads(small["model.safetensors.index.json"])["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        return ["model.safetensors.index.json: has no weight_map"]
    return [f"{shard}: named in model.safetensors.index.json but missing" for shard in sorted(named - safe)]


def _tokenizer(paths: set[str]) -> list[str]:
    return [] if paths & set(TOKENIZERS) else [f"tokenizer.json: missing; expected one of {', '.join(TOKENIZERS)}"]


def _architecture(config: Mapping[str, object], known: frozenset[str]) -> list[str]:
    named = config.get("architectures")
    if not config:
        return []
    if not isinstance(named, list) or not named:
        return ["config.json: names no architectures"]
    if known and not known & set(named):
        return [f"config.json: architecture {named[0]} is unknown to vLLM's text generation models"]
    return []


def _remote(config: Mapping[str, object], paths: set[str]) -> list[str]:
    if "auto_map" not in config:
        return []
    code = sorted(path for path in paths if path.endswith(".py"))
    return [f"config.json: auto_map asks to run {', '.join(code) or 'remote code'}; remote code is never run"]


def _chat(name: str, small: Mapping[str, bytes], paths: set[str]) -> list[str]:
    told = []
    if CHAT_NAME.search(name):
        told.append(f"{name}: the name is that of a chat model; SELF-ALIGN starts from a base model")
    template = b'"chat_template"' in small.get("tokenizer_config.json", b"") or "chat_template.jinja" in paths
    if template:
        told.append(
            "tokenizer_config.json: has a chat template, as chat models do; SELF-ALIGN starts from a base model"
        )
    return told


def _escapes(path: str) -> bool:
    return path.startswith("/") or "\\" in path or ".." in path.split("/")
