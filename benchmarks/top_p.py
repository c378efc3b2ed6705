"""Tokens a second of vLLM on CPU with top-p by the exact nucleus, beside vLLM's own top-p and no top-p at all.

    PYTHONPATH=stages python benchmarks/top_p.py MODEL_FOLDER [ROUNDS]

Each round generates 64 completions of 24 tokens at once in each of the three ways, in a new order each round. Prints
the medians, their ratios to no top-p, and the spread over rounds.
"""

import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from selfalign_stages.contract.parameters import EngineParameters
from selfalign_stages.engine.interface import Decoding, Request
from selfalign_stages.engine.vllm_engine import VllmEngine

REQUESTS, TOKENS, TOP_P = 64, 24, 0.98


class SortingEngine(VllmEngine):
    """Leaves top-p to vLLM."""

    sorts = False

    def _sampling_parameters(self, decoding: Decoding, seed: int) -> Any:
        parameters = super()._sampling_parameters(decoding, seed)
        if self.sorts:
            parameters.top_p, parameters.extra_args = decoding.top_p, None
        return parameters


def seconds(engine: SortingEngine, way: str) -> float:
    """Duration of one batch."""
    engine.sorts = way == "vllm"
    decoding = Decoding(temperature=1.0, top_p=1.0 if way == "none" else TOP_P, max_tokens=TOKENS, ignore_eos=True)
    requests = [Request(f"Question {number}: Why do", seed=number) for number in range(REQUESTS)]
    start = time.perf_counter()
    for _ in engine.stream(requests, decoding):
        pass
    return time.perf_counter() - start


def main(model: Path, rounds: int = 5) -> None:
    """Measures and prints."""
    engine = SortingEngine(model, seed=1, settings=EngineParameters(context_length=512))
    ways = ["none", "nucleus", "vllm"]
    measured: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways:
        seconds(engine, way)  # compiles kernels
    for number in range(rounds):
        random.Random(number).shuffle(ways)
        for way in ways:
            measured[way].append(seconds(engine, way))
    fastest = statistics.median(measured["none"])
    for way, found in measured.items():
        median = statistics.median(found)
        print(
            f"{way:8} {REQUESTS * TOKENS / median:7.1f} tokens/s, {median / fastest:.2f} x the time of none "
            f"({min(found):.2f} to {max(found):.2f} s)"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
