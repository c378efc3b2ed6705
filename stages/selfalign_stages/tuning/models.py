"""Loads and saves models and tokenizers: safetensors only, no remote code, the same bytes for the same work.

Pickled weights and `trust_remote_code` run code from a model repository inside the cluster; both stay off. peft writes
a local path and an unordered set into its config, and equal trainings would then give different digests.
"""

import json
from pathlib import Path
from typing import Any

from selfalign_stages.contract.exits import BadInput

SHARD_BYTES = 4 << 30
"""Weights of a full training are saved in shards of at most 4 GiB."""


def load_model(folder: Path, *, dtype: str) -> Any:
    """Loads a causal language model (transformers' PreTrainedModel) on CPU.

    Args:
        folder: a model folder.
        dtype: name of a torch dtype.

    Raises:
        BadInput: weights of the model are missing in the files, or have other shapes (IncompleteWeights). Transformers
            would fill them at random, anew at every load.
    """
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    model, loaded = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    lacking = sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]]))
    if lacking:
        raise BadInput(
            f"spec.baseModel: its files lack the weights {', '.join(lacking[:5])}, {len(lacking)} in all, or have them "
            "in other shapes than config.json says; use a complete copy of the model",
            reason="IncompleteWeights",
        )
    # The base model's own may be invalid (a temperature without sampling), which save_pretrained refuses.
    model.generation_config = GenerationConfig.from_model_config(model.config)
    return model


def load_tokenizer(folder: Path) -> Any:
    """Loads the tokenizer of a model folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def pad_id(tokenizer: Any) -> int:
    """Returns the id of the pad token, or of EOS for tokenizers without one; `batches.collate` allows both."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)


def normalise_adapter(folder: Path) -> None:
    """Makes a saved adapter reproducible: no local path, and `target_modules` in order. Without an adapter, nothing."""
    path = folder / "adapter_config.json"
    if path.is_file():
        config = json.loads(path.read_text()) | {"base_model_name_or_path": "base"}
        # peft keeps them in a set, whose order changes from process to process. No other list is sorted: the order of
        # layer_types, for one, is that of the layers.
        if isinstance(config["target_modules"], list):
            config["target_modules"].sort()
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
