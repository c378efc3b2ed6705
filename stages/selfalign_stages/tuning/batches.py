"""Pads examples to a batch. Loss positions come from the labels alone: a pad id equal to EOS hides no end token."""

import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from selfalign_stages.tuning.examples import IGNORED, Example

if TYPE_CHECKING:
    import torch

POOL_BATCHES = 8
"""Batches that are sorted by length together: less padding, and still random enough."""


def collate(examples: Sequence[dict[str, Any]], *, pad: int) -> "dict[str, torch.Tensor]":
    """Tensors input_ids, labels, attention_mask of shape (batch, longest), padded on the right."""
    import torch

    longest = max(len(example["input_ids"]) for example in examples)

    def padded(name: str, fill: int) -> "torch.Tensor":
        return torch.tensor([[*e[name], *([fill] * (longest - len(e[name])))] for e in examples])

    ones = [{"mask": [1] * len(e["input_ids"])} for e in examples]
    mask = torch.tensor([[*o["mask"], *([0] * (longest - len(o["mask"])))] for o in ones])
    return {"input_ids": padded("input_ids", pad), "labels": padded("labels", IGNORED), "attention_mask": mask}


def rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Examples in the form that Trainer reads."""
    return [{"input_ids": list(e.input_ids), "labels": list(e.labels)} for e in examples]


def schedule(lengths: Sequence[int], *, micro_batch: int, epochs: float, seed: int) -> list[int]:
    """Positions of examples in training order, every epoch shuffled anew, neighbours of like length in one batch.

    The whole order is fixed before training begins: a sampler that draws from the process's random state would order
    the rest of an epoch differently after a resume.
    """
    order: list[int] = []
    for epoch in range(math.ceil(epochs)):
        random = Random(f"{seed}/{epoch}")
        shuffled = random.sample(range(len(lengths)), len(lengths))
        pool = micro_batch * POOL_BATCHES
        batches = []
        for start in range(0, len(shuffled), pool):
            like = sorted(shuffled[start : start + pool], key=lambda position: lengths[position])
            batches += [like[i : i + micro_batch] for i in range(0, len(like), micro_batch)]
        full = [batch for batch in batches if len(batch) == micro_batch]
        rest = [batch for batch in batches if len(batch) < micro_batch]
        order += [position for batch in (*random.sample(full, len(full)), *rest) for position in batch]
    return order[: round(len(lengths) * epochs)]


def accumulation(*, global_batch: int, micro_batch: int, world: int) -> int:
    """Passes per optimizer step; ValueError unless global = micro x accumulation x world (method trap 15)."""
    if global_batch % (micro_batch * world):
        raise ValueError(
            f"globalBatchSize {global_batch} is no multiple of microBatchSize {micro_batch} x {world} processes"
        )
    return global_batch // (micro_batch * world)
