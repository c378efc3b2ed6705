"""Builds small base models: the files of a Llama with a word-level tokenizer, in memory and on disk."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 264,
    "max_position_embeddings": 32768,
}
TENSORS = {"model.embed_tokens.weight": (264, 4), "model.norm.weight": (4,), "lm_head.weight": (264, 4)}
INDEX = "model.safetensors.index.json"
CANARY = b"cos\nsystem\n(S'touch canary'\ntR."
"""A pickle that runs a command when it is loaded."""


def safetensors(tensors: Mapping[str, tuple[int, ...]], *, fill: int = 0) -> bytes:
    """Builds a safetensors file.

    Args:
        tensors: shapes of float32 tensors by name.
        fill: value of every data byte.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes([fill]) * position


def tokenizer() -> str:
    """A tokenizer.json with a token for each byte, and an end token."""
    made = byte_level()
    return made.to_str()


def byte_level() -> Tokenizer:
    """A tokenizer of bytes: ids 0 to 255, then the end token 256."""
    made = Tokenizer(BPE({letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}, merges=[]))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<end>"])
    return made


def contents(*, shards: int = 1, config: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Builds the files of a fit base model by name.

    Args:
        shards: number of weight files; more than one come with an index.
        config: entries of config.json that replace those of CONFIG.
    """
    files = {
        "config.json": json.dumps(CONFIG | dict(config or {})).encode(),
        "tokenizer.json": tokenizer().encode(),
        "tokenizer_config.json": json.dumps({"eos_token": "<end>"}).encode(),
        "README.md": b"---\nlanguage: en\nlicense: apache-2.0\n---\n# A small model\nlicense: none of this\n",
        "LICENSE": b"do what you like\n",
    }
    if shards == 1:
        return files | {"model.safetensors": safetensors(TENSORS)}
    names = [f"model-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    weight_map = {tensor: names[number % shards] for number, tensor in enumerate(TENSORS)}
    for number, shard in enumerate(names):
        tensors = {tensor: shape for tensor, shape in TENSORS.items() if weight_map[tensor] == shard}
        files[shard] = safetensors(tensors, fill=number)
    return files | {INDEX: json.dumps({"metadata": {}, "weight_map": weight_map}).encode()}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes the files into a folder, which it creates and returns."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def with_more() -> dict[str, bytes]:
    """A fit model in two shards beside files that no run needs."""
    return contents(shards=2) | {"pytorch_model.bin": CANARY, "modeling.py": b"", "config.yaml": b""}
