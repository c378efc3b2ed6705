"""Loads and saves models and tokenizers: safetensors only, no remote code, the same bytes for the same work.

Pickled weights and `trust_remote_code` run code from a model repository inside the cluster; both stay off. Saved
configs are normalised, because transformers and peft write local paths and unordered sets into them, and equal
trainings would then give different digests.
"""

import json
from pathlib import Path
from typing import Any

from selfalign_stages import chat

SHARD_BYTES = 4 << 30
"""Weights are saved in shards of at most 4 GiB. Each becomes one image layer, which registries accept and nodes pull in
parallel."""


def load_model(folder: Path, *, dtype: str) -> Any:
    """Loads a causal language model (transformers' PreTrainedModel) on CPU; `dtype` is the name of a torch dtype."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False, local_files_only=True
    )


def load_tokenizer(folder: Path) -> Any:
    """Loads the tokenizer of a model folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def save_tokenizer(tokenizer: Any, folder: Path, *, assistant_name: str) -> None:
    """Saves the tokenizer with the chat template, and a generation config that stops at EOS.

    A base tokenizer has no chat template. Without one a server either refuses chat requests or applies a default
    that the model was not trained on.

    Args:
        tokenizer: the base model's tokenizer; its `chat_template` is set.
        folder: the model folder to write to.
        assistant_name: heading of the assistant's turns in the template.
    """
    from transformers import GenerationConfig

    tokenizer.chat_template = chat.template(assistant_name)
    tokenizer.save_pretrained(folder)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=pad_id(tokenizer)).save_pretrained(folder)


def pad_id(tokenizer: Any) -> int:
    """Returns the id of the pad token, or of EOS for tokenizers without one; `batches.collate` allows both."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)


def normalise_files(folder: Path) -> None:
    """Makes saved files reproducible: removes local paths from configs, sorts lists of names, sets modes to 0644."""
    for name in ("config.json", "adapter_config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            config = json.loads(path.read_text())
            config.pop("_name_or_path", None)
            config.pop("name_or_path", None)
            if "base_model_name_or_path" in config:
                config["base_model_name_or_path"] = "base"
            for key, value in config.items():
                # peft keeps target_modules in a set, whose order changes from process to process.
                if isinstance(value, list) and all(isinstance(item, str) for item in value):
                    config[key] = sorted(value)
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
