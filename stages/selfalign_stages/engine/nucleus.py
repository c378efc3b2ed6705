"""Top-p on CPU without sorting the vocabulary: the exact nucleus of Holtzman et al. 2019 (arXiv 1904.09751).

vLLM's CPU sampler sorts all words of every request at every token, which takes longer than the forward pass of a small
model with a large vocabulary. Probabilities are far from flat: all but some hundred words are too improbable to be in
the nucleus, and only the rest has to be sorted. vLLM's kernels for GPUs do not sort either.

This module imports vLLM, so it is imported where an engine is made and nowhere else.
"""

from typing import Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, process_dict_updates

ARGUMENT = "nucleus"
"""Key in a request's `extra_args` under which its top-p stands. Its `top_p` must be 1, or vLLM sorts as well."""
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
    candidates, order = weights[words].sort(descending=True)
    before = candidates.cumsum(0) - candidates  # weight of all more probable words
    kept = words[order[: max(1, int((before < mass).sum()))]]
    values = logits[kept]
    logits.fill_(float("-inf"))
    logits[kept] = values


class Nucleus(LogitsProcessor):  # type: ignore[misc]
    """vLLM's interface to `keep_nucleus`: applies it to the requests of a batch that ask for it.

    Args:
        vllm_config: unused; vLLM passes it.
        device: unused.
        is_pin_memory: unused.
    """

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._top_p: dict[int, float] = {}  # by row of the batch

    def is_argmax_invariant(self) -> bool:
        """True: the most probable word stays. It also makes vLLM divide by the temperature before it calls `apply`."""
        return True

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follows the requests as they enter, leave and move within the batch."""
        process_dict_updates(
            self._top_p, batch_update, lambda parameters, *_: (parameters.extra_args or {}).get(ARGUMENT)
        )

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Restricts each request that has a top-p to its nucleus; logits of shape (batch, vocabulary)."""
        for row, top_p in self._top_p.items():
            keep_nucleus(logits[row], top_p)
        return logits


def sampling_arguments(*, temperature: float, top_p: float) -> dict[str, Any]:
    """Returns the arguments of vLLM's SamplingParams that give this temperature and top-p."""
    asked = {ARGUMENT: top_p} if temperature > 0 and top_p < 1 else None
    return {"temperature": temperature, "top_p": 1.0, "extra_args": asked}
