"""Tiny random models of the families that users bring, saved as their makers publish them."""

from pathlib import Path
from typing import Any

VOCABULARY = 96
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-tied": ("LlamaConfig", {"tie_word_embeddings": True}),
    "llama-untied": ("LlamaConfig", {"tie_word_embeddings": False, "rope_theta": 500000.0}),
    "mistral": ("MistralConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 8}),
    "gemma2": ("Gemma2Config", {"head_dim": 8, "layer_types": ALTERNATING, "sliding_window": 16}),
    "gemma3": ("Gemma3TextConfig", {"head_dim": 8, "layer_types": ALTERNATING, "sliding_window": 16}),
    "phi3": ("Phi3Config", {}),
    "olmo2": ("Olmo2Config", {}),
    "smollm3": ("SmolLM3Config", {}),
    "gpt-neox": ("GPTNeoXConfig", {}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}),
    "opt": ("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
}
"""Configuration class and what is particular, by name. Gemma 2 caps its logits; its layers alternate, in an order."""


def save(name: str, folder: Path, *, dtype: str = "bfloat16") -> Path:
    """Saves a random model of a family and returns its folder."""
    import torch
    import transformers

    class_name, particular = FAMILIES[name]
    torch.manual_seed(len(name))
    config = getattr(transformers, class_name)(**(SMALL | particular))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    return folder


def linear_layers(model: Any) -> list[str]:
    """Names of the modules that a LoRA adapter of all linear layers adapts."""
    import torch
    from transformers.pytorch_utils import Conv1D

    kinds = (torch.nn.Linear, Conv1D)
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, kinds)}
    return sorted(names - {"lm_head", "embed_out"})
