"""What this machine lacks for the steps that are left: a library, disk or memory."""

import shutil
from collections import Counter
from collections.abc import Sequence
from ctypes.util import find_library
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages.contract.graph import Kind, Step
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.engine.vllm_engine import is_cpu_build
from selfalign_stages.preflight.findings import Findings

STORED_COPIES: dict[Kind, int] = {"import": 1, "merge": 1, "image": 1}
"""Copies of the weights that a step leaves in the store; an adapter is small beside them."""
GENERATING = frozenset({"topics", "questions", "instructions", "answers", "verbose-answers", "score"})
SCRATCH_COPIES = 2
"""A merge holds the base model and the merged one."""
MEMORY_SPARE_BYTES = 2 << 30
"""What the engine takes besides weights: its KV cache and its libraries."""
MEMORY_TABLE = Path("/proc/meminfo")


def check(location: StoreLocation, left: Sequence[Step], *, model_bytes: int, found: Findings) -> None:
    """Adds problems and warnings for the steps that are left."""
    cpu = is_cpu_build()
    if cpu and any(step.kind in GENERATING for step in left) and not find_library("numa"):
        found.problem("machine", "libnuma.so.1", "the CPU engine cannot run without libnuma: apt-get install libnuma1")
    if location.uri.startswith("file://"):
        _disk(Path(unquote(urlsplit(location.uri).path)), left, model_bytes, found)
    if cpu:
        _memory(memory_table(MEMORY_TABLE.read_text()), model_bytes, found)


def disk_bytes(left: Sequence[Step], *, model_bytes: int) -> int:
    """Disk that the steps need at least, the scratch folder being on the same disk."""
    kinds = Counter(step.kind for step in left)
    stored = sum(copies * kinds[kind] for kind, copies in STORED_COPIES.items())
    return model_bytes * (stored + SCRATCH_COPIES) if stored else 0


def memory_table(text: str) -> dict[str, int]:
    """Bytes by name, as Linux tells them in kB."""
    rows = (line.split() for line in text.splitlines() if line.endswith("kB"))
    return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows}


def _disk(root: Path, left: Sequence[Step], model_bytes: int, found: Findings) -> None:
    if not root.is_dir():
        return
    needed, free = disk_bytes(left, model_bytes=model_bytes), shutil.disk_usage(root).free
    if needed > free:
        text = f"needs about {_gib(needed)} of disk and {_gib(free)} are free: free some, or put the store elsewhere"
        found.problem("spec.artifacts.uri", str(root), text)


def _memory(table: dict[str, int], model_bytes: int, found: Findings) -> None:
    needed = model_bytes + MEMORY_SPARE_BYTES
    if model_bytes > table["MemTotal"]:
        text = f"its weights take {_gib(model_bytes)}, this machine has {_gib(table['MemTotal'])} of memory"
        found.problem("spec.baseModel.uri", None, f"{text}: use a smaller model or a larger machine")
    elif needed > table["MemAvailable"]:
        text = f"a step needs about {_gib(needed)} of memory, {_gib(table['MemAvailable'])} are free"
        found.warnings.append(f"machine: {text}; close other programs if a step is killed")


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
