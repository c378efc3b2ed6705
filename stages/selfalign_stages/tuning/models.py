"""Loads and saves models and tokenizers: safetensors only, no remote code, no path of this machine in what is saved."""

import json
from pathlib import Path
from typing import Any

from selfalign_stages import chat

SHARD_BYTES = 4 << 30
"""Weights are saved in shards of at most this size: one image layer each."""


def load_model(folder: Path, *, dtype: str) -> Any:
    """A causal language model in the given torch dtype."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False, local_files_only=True
    )


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def save_tokenizer(tokenizer: Any, folder: Path, *, assistant_name: str) -> None:
    """Tokenizer with the chat template, and a generation config that stops at the end token."""
    from transformers import GenerationConfig

    tokenizer.chat_template = chat.template(assistant_name)
    tokenizer.save_pretrained(folder)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=pad).save_pretrained(folder)


def neutralise(folder: Path) -> None:
    """Takes this machine's paths out of saved configs, so that equal work gives equal bytes; modes become 0644."""
    for name in ("config.json", "adapter_config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            config = json.loads(path.read_text())
            config.pop("_name_or_path", None)
            config.pop("name_or_path", None)
            if "base_model_name_or_path" in config:
                config["base_model_name_or_path"] = "base"
            for key, value in config.items():
                if isinstance(value, list) and all(isinstance(item, str) for item in value):
                    config[key] = sorted(value)
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
