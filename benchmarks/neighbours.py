"""Steps on CPUs side by side: OpenMP threads that spin while they wait, as torch has them, and ours that do not.

    python benchmarks/neighbours.py [--side-by-side 4] [--prompts 256] [--rounds 3]

The answers step of benchmarks/generation.py, so many processes at once with as many threads each as there are cores,
as in pods without a limit. Rounds are interleaved. Prints seconds until all have ended, model load included, for them
and for one alone, with the range, and the ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from selfalign_stages.main import OPENMP_DEFAULTS

STEP = Path(__file__).with_name("generation.py")


def seconds(count: int, prompts: int, policy: dict[str, str]) -> float:
    """How long `count` steps take that begin together."""
    command = [sys.executable, str(STEP), "--only", "stage", "--prompts", str(prompts)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | policy
    started = time.monotonic()
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(count)]
    for process in running:
        if process.wait():
            raise SystemExit(f"a step ended with {process.returncode}")
    return time.monotonic() - started


def main() -> None:
    """Runs all in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side-by-side", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    policies = {"spinning": {}, "ours": OPENMP_DEFAULTS}
    found: dict[tuple[int, str], list[float]] = {(n, name): [] for n in (options.side_by_side, 1) for name in policies}
    for _ in range(options.rounds):
        for count, name in found:
            found[count, name].append(seconds(count, options.prompts, policies[name]))
    for (count, name), took in found.items():
        middle = statistics.median(took)
        sys.stdout.write(f"{count} x {name:9} {middle:6.1f} s ({min(took):.1f} to {max(took):.1f})\n")
    for count in (options.side_by_side, 1):
        ratio = statistics.median(found[count, "spinning"]) / statistics.median(found[count, "ours"])
        sys.stdout.write(f"spinning / ours, {count} at once: {ratio:.2f}\n")


if __name__ == "__main__":
    main()
