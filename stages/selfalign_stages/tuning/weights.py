"""Writes the tuned weights: the base model's safetensors files with the trained difference added, tensor by tensor.

Names, shapes and shards are those of the base model's files, so that every program that loads the base model loads the
tuned one. Transformers' own save would write the names of its release, for fused or renamed modules too. Only one shard
is in memory beside the model.

The sum W + (alpha / r) B A is computed in float32 and cast once at the end: in bfloat16, with 8 significant bits, the
product would be rounded before the sum is rounded once more. The base is the unquantised one that the adapter was
trained on; the paper's authors report that merging into 4-bit weights degenerates (model card of Dromedary-2).
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfalign_stages.contract.exits import BadInput

if TYPE_CHECKING:
    import torch

INDEX = "model.safetensors.index.json"
Change = Callable[["torch.Tensor"], "torch.Tensor"]
"""Returns the new value of a weight, in float32, from the base model's."""


def write(base: Path, folder: Path, *, changes: Mapping[str, Change], dtype: str) -> None:
    """Writes all shards, and the index if the base model has one.

    Args:
        base: folder of the imported base model.
        folder: folder of the tuned model.
        changes: by tensor name in the base model's files; all other weights are only cast.
        dtype: name of the torch dtype of the written weights. Tensors of whole numbers keep their own.

    Raises:
        BadInput: a changed weight is in none of the files (MergeMismatch).
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    left, size = set(changes), 0
    for shard in sorted(base.glob("*.safetensors")):
        tensors: dict[str, torch.Tensor] = {}
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                if name in changes:
                    tensor = changes[name](tensor.float())
                    left.discard(name)
                if tensor.is_floating_point():
                    tensor = tensor.to(getattr(torch, dtype))
                tensors[name] = tensor.contiguous()
                size += tensor.numel() * tensor.element_size()
        save_file(tensors, folder / shard.name, metadata={"format": "pt"})
    if left:
        raise BadInput(
            f"spec.baseModel: the weights {sorted(left)[:5]} were trained and are in none of its files, which name "
            "them differently; save the model once with transformers' save_pretrained and use that folder",
            reason="MergeMismatch",
        )
    if (base / INDEX).is_file():
        index = json.loads((base / INDEX).read_bytes())
        index["metadata"] = (index.get("metadata") or {}) | {"total_size": size}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def of_adapter(model: Any, names: set[str]) -> dict[str, Change]:
    """Returns the changes that a LoRA adapter makes.

    Args:
        model: the peft model.
        names: tensor names in the base model's files.
    """
    inner = model.get_base_model()
    changes: dict[str, Change] = {}
    for module_name, module in inner.named_modules():
        if hasattr(module, "get_delta_weight") and getattr(module, "lora_A", None):
            name = file_name(f"{module_name}.weight", names, prefix=inner.base_model_prefix)
            changes[name] = partial(_add_delta, module)
    return changes


def of_full_training(tuned: Path, base: Path) -> dict[str, Change]:
    """Returns the changes of a training of all weights: every weight that was saved replaces the base model's.

    Args:
        tuned: folder of the trained model in the names of transformers.
        base: folder of the imported base model.
    """
    from safetensors import safe_open

    names, changes = tensor_names(base), dict[str, Change]()
    for shard in sorted(tuned.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():
                changes[file_name(name, names)] = partial(_replace, shard, name)
    embedding, head = (_ending(changes, ending) for ending in ("embed_tokens.weight", "lm_head.weight"))
    # A tied output layer that the base model's files repeat: transformers saves the embedding alone.
    repeated = _ending(names, "lm_head.weight")
    if embedding and not head and repeated:
        changes[repeated] = changes[embedding]
    return changes


def tensor_names(folder: Path) -> set[str]:
    """Returns the tensor names of all safetensors files of a folder."""
    from safetensors import safe_open

    names: set[str] = set()
    for shard in folder.glob("*.safetensors"):
        with safe_open(shard, framework="pt") as file:
            names |= set(file.keys())
    return names


def file_name(name: str, names: set[str], *, prefix: str = "model") -> str:
    """Returns the name of a weight in the base model's files; some were saved without the name of the inner model."""
    shortened = name.removeprefix(f"{prefix}.")
    return next((other for other in (name, shortened, f"{prefix}.{name}") if other in names), name)


def _ending(names: Any, ending: str) -> str | None:
    return next((name for name in names if name.endswith(ending)), None)


def _add_delta(module: Any, weight: "torch.Tensor") -> "torch.Tensor":
    # peft turns the product round for layers that keep their weights transposed (GPT-2's Conv1D)
    delta: torch.Tensor = module.get_delta_weight("default")
    return weight + delta.float()


def _replace(shard: Path, name: str, _: "torch.Tensor") -> "torch.Tensor":
    from safetensors import safe_open

    with safe_open(shard, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
    return tensor.float()
