"""Checks what this machine lacks for the remaining steps: a library of the CPU engine, disk or memory.

On Kubernetes the scheduler places pods by their resource requests. These checks are for `selfalign run` on one
machine, where a full disk after hours of generation, or the kernel's out-of-memory killer, would be the first sign.
Estimates err on the low side: a run is refused only if it cannot fit.
"""

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
"""Step kinds that load the engine."""
SCRATCH_COPIES = 2
"""Copies of the weights in the scratch folder at most: a merge has the base model and the merged one there."""
MEMORY_SPARE_BYTES = 2 << 30
"""Memory that the CPU engine takes besides weights, for its libraries and a small KV cache."""
MEMORY_TABLE = Path("/proc/meminfo")


def check(store: StoreLocation, remaining: Sequence[Step], *, model_bytes: int, findings: Findings) -> None:
    """Adds problems and warnings of this machine.

    Args:
        store: the artifact store; its disk is checked if it is a folder of this machine.
        remaining: steps that have no artifact yet.
        model_bytes: size of the base model.
        findings: receives missing libraries and disk, and a model larger than memory, as problems; memory that other
            programs occupy now as a warning.
    """
    # vLLM's CPU build needs libnuma and has the weights in main memory; its CUDA build needs neither.
    cpu = is_cpu_build()
    if cpu and any(step.kind in GENERATING for step in remaining) and not find_library("numa"):
        findings.problem(
            "machine", "libnuma.so.1", "the CPU engine cannot run without libnuma: apt-get install libnuma1"
        )
    if store.uri.startswith("file://"):
        _check_disk(Path(unquote(urlsplit(store.uri).path)), remaining, model_bytes, findings)
    if cpu:
        _check_memory(memory_table(MEMORY_TABLE.read_text()), model_bytes, findings)


def disk_bytes(remaining: Sequence[Step], *, model_bytes: int) -> int:
    """Returns the disk in bytes that the steps need at least, the scratch folder being on the store's disk.

    Args:
        remaining: steps that have no artifact yet.
        model_bytes: size of the base model; all copies of weights are taken to be as large.
    """
    # Without import, merge and image, what remains leaves only text, scores and an adapter.
    kinds = Counter(step.kind for step in remaining)
    stored = sum(copies * kinds[kind] for kind, copies in STORED_COPIES.items())
    return model_bytes * (stored + SCRATCH_COPIES) if stored else 0


def memory_table(text: str) -> dict[str, int]:
    """Parses /proc/meminfo (proc_meminfo(5)) into bytes by name; its "kB" are 1,024 bytes. Counts are left out."""
    rows = (line.split() for line in text.splitlines() if line.endswith("kB"))
    return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows}


def _check_disk(root: Path, remaining: Sequence[Step], model_bytes: int, findings: Findings) -> None:
    if not root.is_dir():
        return  # reported by the check of the store
    needed, free = disk_bytes(remaining, model_bytes=model_bytes), shutil.disk_usage(root).free
    if needed > free:
        message = f"needs about {_gib(needed)} of disk and {_gib(free)} are free: free some, or put the store elsewhere"
        findings.problem("spec.artifacts.uri", str(root), message)


def _check_memory(memory: dict[str, int], model_bytes: int, findings: Findings) -> None:
    needed = model_bytes + MEMORY_SPARE_BYTES
    # Total memory cannot change, so it refuses the run. Free memory can, and MemAvailable is an estimate: a warning.
    if model_bytes > memory["MemTotal"]:
        message = f"its weights take {_gib(model_bytes)}, this machine has {_gib(memory['MemTotal'])} of memory"
        findings.problem("spec.baseModel.uri", None, f"{message}: use a smaller model or a larger machine")
    elif needed > memory["MemAvailable"]:
        message = f"a step needs about {_gib(needed)} of memory, {_gib(memory['MemAvailable'])} are free"
        findings.warnings.append(f"machine: {message}; close other programs if a step is killed")


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
