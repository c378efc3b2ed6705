"""How much of a matrix a test run carries out: a sample in CI, the whole in the named make targets.

`make faults` and `make matrix` set SELFALIGN_TESTS=full and run the very same tests. docs/testing.md records when each
last ran and what it showed.
"""

import os
from typing import TypeVar

FULL = os.environ.get("SELFALIGN_TESTS") == "full"
Value = TypeVar("Value")


def scaled(sample: Value, whole: Value) -> Value:
    """`whole` in the named make targets, `sample` in CI."""
    return whole if FULL else sample
