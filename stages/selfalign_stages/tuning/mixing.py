"""Decides which rows of one's own a training gets beside its answers. Pure.

A share is of the rows that are trained on, not of the file: a file with a million rows must not drown what the base
model has written, and a file with few is taken as it is.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.text import rouge
from selfalign_stages.tuning.examples import Example, Pair


def mix(
    files: Sequence[Sequence[Pair]],
    encode: Callable[[Sequence[Pair]], list[Example]],
    *,
    shares: Sequence[float],
    answers: int,
    held_out: Sequence[str],
    threshold: float,
    seed: int,
) -> tuple[list[Example], dict[str, int]]:
    """Chooses and tokenises rows of one's own.

    Args:
        files: the rows by file.
        encode: tokenises rows; it leaves out, and counts, those that cannot be trained on.
        shares: see `most`.
        answers: see `most`.
        held_out: questions of the evaluation suites.
        threshold: ROUGE-L F-measure above which a prompt counts as one of them.
        seed: spec.seed.

    Returns:
        The rows to train on, by file, and the numbers of rows left out by reason: "contamination" for an evaluation
        item, "over-share" for what exceeds the share.
    """
    left_out = Counter[str]()
    items = rouge.Index.over(held_out, threshold=threshold)
    for question in held_out:
        items.add(question)
    usable: list[list[Example]] = []
    for rows, share in zip(files, shares, strict=True):
        # As many as the share would be if all other files filled theirs: of a million rows most are not looked at.
        enough = _whole(share * answers / (1 - sum(shares)))
        encoded: list[Example] = []
        for looked_at, row in enumerate(ranked(rows, seed=seed)):
            if len(encoded) == enough:
                left_out["over-share"] += len(rows) - looked_at
                break
            if items.nearest(row.question) is not None:
                left_out["contamination"] += 1
            else:
                encoded += encode([row])
        usable.append(encoded)
    numbers = most([len(encoded) for encoded in usable], shares, answers=answers)
    left_out["over-share"] += sum(map(len, usable)) - sum(numbers)
    kept = [example for encoded, number in zip(usable, numbers, strict=True) for example in encoded[:number]]
    return kept, dict(+left_out)


def most(available: Sequence[int], shares: Sequence[float], *, answers: int) -> list[int]:
    """Computes how many rows of each file are trained on.

    Args:
        available: usable rows of each file.
        shares: largest fraction of the training rows (answers and rows of all files) that each file makes up; below 1
            in all.
        answers: answers that are trained on.

    Returns:
        The most rows for which no file exceeds its share.
    """
    numbers = list(available)
    while True:
        total = answers + sum(numbers)
        allowed = [min(number, _whole(share * total)) for number, share in zip(numbers, shares, strict=True)]
        # Fewer rows of one file lower the total, and with it what the others may have: repeated until nothing changes.
        if allowed == numbers:
            return numbers
        numbers = allowed


def ranked(pairs: Sequence[Pair], *, seed: int) -> list[Pair]:
    """Returns rows in the order of a hash of their text and the seed.

    The first ones are a random choice that a rerun makes again, and of which rows added to the file displace few.
    """
    return sorted(pairs, key=lambda pair: sha256_hex(f"{seed}/{pair.question}\n{pair.answer}".encode()))


def _whole(rows: float) -> int:
    """Rounds down, but for 0.29 x 100, which is a little less than 29 in binary."""
    return math.floor(round(rows, 6))
