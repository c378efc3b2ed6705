"""Exact ROUGE-L dedup at 0.7: our index against rapidfuzz's extractOne, and against rouge_score's loop on a sample.

    python benchmarks/dedup.py [--texts 20000] [--sample 1000]

Texts are windows of about 13 words over a Zipf vocabulary, a third of them mutated copies. The decisions of all three
are compared before any time is printed.
"""

import argparse
import sys
import time
from random import Random

from rapidfuzz import process
from rapidfuzz.distance import Indel, LCSseq
from rouge_score.rouge_scorer import _score_lcs

from selfalign_stages.text import rouge

THRESHOLD = 0.7


def texts(count: int) -> list[str]:
    """Deterministic texts with near copies among them."""
    random = Random(5)
    vocabulary = [f"w{n}" for n in range(5000)]
    weights = [1 / (n + 2) for n in range(5000)]
    made: list[str] = []
    while len(made) < count:
        if made and random.random() < 0.35:
            words = random.choice(made).split()
            for _ in range(random.randint(1, 3)):
                words[random.randrange(len(words))] = random.choice(vocabulary)
            made.append(" ".join(words))
        else:
            made.append(" ".join(random.choices(vocabulary, weights, k=random.randint(5, 21))))
    return made


def by_extract_one(made: list[str]) -> list[bool]:
    """Rapidfuzz over all kept texts; ties are judged by the same arithmetic."""
    kept: list[tuple[str, ...]] = []
    verdicts = []
    for text in made:
        words = rouge.rouge_tokens(text)
        hits = process.extract_iter(words, kept, scorer=Indel.normalized_similarity, processor=None, score_cutoff=0.699)
        near = any(_f(words, other) > THRESHOLD for other, _, _ in hits)
        verdicts.append(near)
        if not near:
            kept.append(words)
    return verdicts


def _f(first: tuple[str, ...], second: tuple[str, ...]) -> float:
    return rouge.f_measure(LCSseq.similarity(first, second), len(first), len(second))


def by_loop(made: list[str]) -> list[bool]:
    """The published method: rouge_score against every kept text."""
    kept: list[tuple[str, ...]] = []
    verdicts = []
    for text in made:
        words = rouge.rouge_tokens(text)
        near = any(_score_lcs(other, words).fmeasure > THRESHOLD for other in kept)
        verdicts.append(near)
        if not near:
            kept.append(words)
    return verdicts


def timed(name: str, run: object, made: list[str]) -> tuple[list[bool], float]:
    """Verdicts and seconds."""
    started = time.monotonic()
    verdicts = run(made)  # type: ignore[operator]
    seconds = time.monotonic() - started
    sys.stdout.write(f"{name:22} {len(made):7} texts {seconds:9.2f} s, {sum(verdicts)} duplicates\n")
    return verdicts, seconds


def main() -> None:
    """Compares decisions, then prints ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=1000)
    options = parser.parse_args()

    def ours(made: list[str]) -> list[bool]:
        return rouge.duplicates(made, known=[], threshold=THRESHOLD)

    made = texts(options.texts)
    mine, fast = timed("ours", ours, made)
    theirs, slow = timed("rapidfuzz extract", by_extract_one, made)
    small, small_seconds = timed("ours, sample", ours, made[: options.sample])
    loop, loop_seconds = timed("rouge_score loop", by_loop, made[: options.sample])
    if mine != theirs or small != loop:
        raise SystemExit("the decisions differ")
    sys.stdout.write(
        f"all decisions equal; {slow / fast:.1f} x rapidfuzz, {loop_seconds / small_seconds:.0f} x the loop\n"
    )


if __name__ == "__main__":
    main()
