"""Chooses the answered prompts that are held out from training, to measure the loss on rows that were not learned.

A prompt is chosen by a hash of its id and the run's seed, not by a draw: the choice is then the same in a rerun and in
a resumed process, whatever the order of the rows, and mostly the same when rows are added. Engraving and cloning answer
the same prompts, and hold out mostly the same ones.
"""

from collections.abc import Sequence

from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.contract.rows import Answer


def split(rows: Sequence[Answer], *, share: float | None, seed: int) -> tuple[list[Answer], list[Answer]]:
    """Divides rows into those to train on and those held out. All answers to one prompt go the same way.

    Args:
        rows: answers.
        share: fraction of the prompts that are held out, rounded to whole prompts; None: none.
        seed: spec.seed.

    Returns:
        The rows to train on and the rows held out, both in the order of `rows`.
    """
    prompts = sorted({row.prompt.id for row in rows}, key=lambda id_: sha256_hex(f"{seed}/{id_}".encode()))
    held_out = set(prompts[: round(len(prompts) * (share or 0))])
    return (
        [row for row in rows if row.prompt.id not in held_out],
        [row for row in rows if row.prompt.id in held_out],
    )
