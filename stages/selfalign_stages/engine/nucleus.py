"""Top-p on CPU without sorting the vocabulary: the exact nucleus of Holtzman et al. 2019 (arXiv 1904.09751).

vLLM's CPU sampler sorts all words of every request at every token, which takes longer than the forward pass of a small
model with a large vocabulary. Probabilities are far from flat: all but some hundred words are too improbable to be in
the nucleus, and only the rest has to be sorted. vLLM's kernels for GPUs do not sort either.

vLLM's order is temperature, min-p, top-k, top-p. Its processor for min-p runs before this one; top-k is done here where
top-p is, because the mass of the nucleus is one of the k words. Alone it is left to vLLM, which does not sort for it.

This module imports vLLM, so it is imported where an engine is made and nowhere else.
"""

from typing import Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, process_dict_updates

ARGUMENT = "nucleus"
"""Key in a request's `extra_args` under which its top-p and top-k stand. Its `top_p` must be 1, or vLLM sorts too."""
FIRST_FLOOR = 1e-4
"""Probability above which words are sorted at first; 64 times less at every further attempt."""


def keep_nucleus(logits: torch.Tensor, top_p: float) -> None:
    """Sets all words outside the nucleus to minus infinity, in place.

    The nucleus is the smallest set of the most probable words whose probabilities add up to `top_p`, at least one word.

    Args:
        logits: of one request, divided by the temperature, shape (vocabulary,), float32, on CPU.
        top_p: mass of the nucleus, above 0 and below 1.
    """
    weights = torch.sub(logits, logits.max()).exp_()  # probabilities times their sum
    total = float(weights.sum())
    floor, mass = FIRST_FLOOR * total, top_p * total
    # Below (total - mass) / V all words together weigh less than what may be left out.
    while floor * logits.numel() > total - mass and float(weights[weights > floor].sum()) < mass:
        floor /= 64
    # numpy finds positions several times as fast as torch
    words = torch.from_numpy(np.flatnonzero((weights > floor).numpy()))
    # stable: of equally probable words, as 16 bits make them, the first stays first, as in greedy decoding
    candidates, order = weights[words].sort(descending=True, stable=True)
    before = candidates.cumsum(0) - candidates  # weight of all more probable words
    kept = words[order[: max(1, int((before < mass).sum()))]]
    values = logits[kept]
    logits.fill_(float("-inf"))
    logits[kept] = values


def keep_nucleus_of_top_k(logits: torch.Tensor, top_p: float, top_k: int) -> None:
    """Sets all words outside the nucleus of the `top_k` most probable words to minus infinity, in place.

    Args:
        logits: as above.
        top_p: mass of the nucleus, as a fraction of that of the `top_k` words.
        top_k: at least 1.
    """
    values, words = logits.topk(min(top_k, logits.numel()))
    weights = values.softmax(dim=0)
    kept = max(1, int((weights.cumsum(0) - weights < top_p).sum()))
    logits.fill_(float("-inf"))
    logits[words[:kept]] = values[:kept]


class Nucleus(LogitsProcessor):  # type: ignore[misc]
    """vLLM's interface to the nucleus: applies it to the requests of a batch that ask for it.

    Args:
        vllm_config: unused; vLLM passes it.
        device: unused.
        is_pin_memory: unused.
    """

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._asked: dict[int, tuple[float, int]] = {}  # top-p and top-k by row of the batch

    def is_argmax_invariant(self) -> bool:
        """True: the most probable word stays. It also makes vLLM divide by the temperature before it calls `apply`."""
        return True

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follows the requests as they enter, leave and move within the batch."""
        process_dict_updates(
            self._asked, batch_update, lambda parameters, *_: (parameters.extra_args or {}).get(ARGUMENT)
        )

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Restricts each request that has a top-p to its nucleus; logits of shape (batch, vocabulary)."""
        for row, (top_p, top_k) in self._asked.items():
            if top_k:
                keep_nucleus_of_top_k(logits[row], top_p, top_k)
            else:
                keep_nucleus(logits[row], top_p)
        return logits


def sampling_arguments(*, temperature: float, top_p: float, top_k: int = 0) -> dict[str, Any]:
    """Returns the arguments of vLLM's SamplingParams that give this temperature, top-p and top-k (0: all words)."""
    if temperature > 0 and top_p < 1:
        return {"temperature": temperature, "top_p": 1.0, "top_k": 0, "extra_args": {ARGUMENT: (top_p, top_k)}}
    return {"temperature": temperature, "top_p": 1.0, "top_k": top_k, "extra_args": None}
