"""Orders examples, pads them to batches, and divides the global batch over micro batches and processes.

The whole training order is computed before training and read by a sequential sampler. A sampler that draws from the
process's random state orders the rest of an epoch differently after a resume: some examples would be shown twice and
others never, and no rerun would give the same weights.
"""

import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from selfalign_stages.contract import rules
from selfalign_stages.tuning.examples import IGNORED, Example

if TYPE_CHECKING:
    import torch

POOL_BATCHES = 8
"""Batches that are sorted by length together. One would not group at all; with many, the texts of a batch would be
chosen by nothing but their length, which depends on what they are about."""


def collate(examples: Sequence[dict[str, Any]], *, pad: int) -> "dict[str, torch.Tensor]":
    """Pads examples on the right to the longest of the batch.

    Where a token counts is decided by labels and mask, never by comparing ids with `pad`: many base models pad with
    EOS, and masking by id would hide the end token of every answer from the loss.

    Args:
        examples: rows with `input_ids` and `labels`, both of length T of the row.
        pad: token id of the padding.

    Returns:
        Integer tensors `input_ids`, `labels` and `attention_mask`, each of shape (batch, longest T).
    """
    import torch

    longest = max(len(example["input_ids"]) for example in examples)

    def padded(sequences: list[list[int]], fill: int) -> "torch.Tensor":
        # (batch, T of each row) -> (batch, longest)
        return torch.tensor([[*sequence, *([fill] * (longest - len(sequence)))] for sequence in sequences])

    return {
        "input_ids": padded([example["input_ids"] for example in examples], pad),
        "labels": padded([example["labels"] for example in examples], IGNORED),
        "attention_mask": padded([[1] * len(example["input_ids"]) for example in examples], 0),
    }


def rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Converts examples to the dictionaries that transformers' Trainer reads."""
    return [{"input_ids": list(example.input_ids), "labels": list(example.labels)} for example in examples]


def schedule(lengths: Sequence[int], *, micro_batch: int, epochs: float, seed: int) -> list[int]:
    """Computes the order of training: every epoch shuffled anew, texts of similar length in the same micro batch.

    Grouping by length saves padding, which costs as much computation as text. Only a pool of POOL_BATCHES
    batches is sorted at a time, and the batches are shuffled, so that the order stays close to random.

    Args:
        lengths: tokens of each example.
        micro_batch: examples per forward pass.
        epochs: passes over the examples; 2.5 ends in the middle of the third.
        seed: of the shuffles.

    Returns:
        Positions of examples, round(len(lengths) * epochs) of them.
    """
    order: list[int] = []
    for epoch in range(math.ceil(epochs)):
        random = Random(f"{seed}/{epoch}")
        shuffled = random.sample(range(len(lengths)), len(lengths))
        pool = micro_batch * POOL_BATCHES
        batches = []
        for start in range(0, len(shuffled), pool):
            by_length = sorted(shuffled[start : start + pool], key=lambda position: lengths[position])
            batches += [by_length[i : i + micro_batch] for i in range(0, len(by_length), micro_batch)]
        # An incomplete batch anywhere but last would shift the borders of all batches after it.
        full = [batch for batch in batches if len(batch) == micro_batch]
        incomplete = [batch for batch in batches if len(batch) < micro_batch]
        order += [position for batch in (*random.sample(full, len(full)), *incomplete) for position in batch]
    return order[: round(len(lengths) * epochs)]


def accumulation_steps(*, global_batch: int, micro_batch: int, processes: int) -> int:
    """Computes the forward passes per optimizer step and process: global = micro x accumulation x processes.

    A global batch that does not divide is refused instead of rounded: batch size and learning rate belong together,
    and the number of GPUs must not change what is trained.

    Args:
        global_batch: examples per optimizer step, over all processes.
        micro_batch: examples per forward pass and process.
        processes: number of training processes (PyTorch's WORLD_SIZE).

    Raises:
        ValueError: the global batch is not divisible.
    """
    if rules.batch_remainder(global_batch, micro_batch_size=micro_batch, processes=processes):
        raise ValueError(
            f"{rules.BATCH_NOT_DIVISIBLE}: {global_batch} is not a multiple of microBatchSize "
            f"{micro_batch} x {processes} processes"
        )
    return global_batch // (micro_batch * processes)
