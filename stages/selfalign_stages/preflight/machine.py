"""Checks what this machine lacks for the remaining steps: a library of the CPU engine, disk or memory.

On Kubernetes the scheduler places pods by their resource requests. These checks are for `selfalign run` on one
machine, where a full disk after hours of generation, or the kernel's out-of-memory killer, would be the first sign.
Estimates err on the low side: a run is refused only if it cannot fit.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selfalign_stages.contract.file_errors import existing, few_inodes, mount_point, size_text
from selfalign_stages.contract.graph import Kind, Step
from selfalign_stages.contract.parameters import EngineParameters
from selfalign_stages.contract.task import StoreLocation
from selfalign_stages.engine import cpu_limits
from selfalign_stages.engine.vllm_arguments import is_cpu_build
from selfalign_stages.preflight.findings import Findings

STORED_COPIES: dict[Kind, int] = {"import": 1, "merge": 1, "image": 1}
"""Copies of the weights that a step leaves in the store; an adapter is small beside them."""
GENERATING: frozenset[Kind] = frozenset({"topics", "questions", "instructions", "answers", "verbose-answers", "score"})
"""Step kinds that load the engine."""
SCRATCH_COPIES: dict[Kind, int] = {**dict.fromkeys(GENERATING, 1), "train": 1, "merge": 2, "image": 2}
"""Copies of the weights that a step has in its scratch folder: those it reads, beside them those it makes."""
MEMORY_SPARE_BYTES = 2 << 30
"""Memory that the CPU engine takes besides weights, for its libraries and a small KV cache."""
MEMORY_TABLE = Path("/proc/meminfo")


def check(
    store: StoreLocation,
    remaining: Sequence[Step],
    *,
    model_bytes: int,
    findings: Findings,
    engine: EngineParameters,
    scratch: Path | None = None,
) -> None:
    """Adds problems and warnings of this machine.

    Args:
        store: the artifact store; its disk is checked if it is a folder of this machine.
        remaining: steps that have no artifact yet.
        model_bytes: size of the base model.
        engine: how the steps load it, of which the CPU engine may refuse a part.
        scratch: folder for temporary files of the steps, on one disk for all of them. None: unknown, as for pods, which
            run on other nodes than preflight; beside a store in a folder it is taken to be on the store's disk.
        findings: receives missing libraries and disk, a model larger than memory, and what the CPU engine refuses, as
            problems; memory that other programs occupy now as a warning.
    """
    # vLLM's CPU build needs libnuma and has the weights in main memory; its CUDA build needs neither.
    cpu = is_cpu_build()
    if cpu and any(step.kind in GENERATING for step in remaining):
        _check_cpu_engine(engine, findings)
    places = _places(store, remaining, model_bytes=model_bytes, scratch=scratch)
    _check_disks(places, findings)
    if cpu:
        _check_memory(memory_table(MEMORY_TABLE.read_text()), model_bytes, findings)


def _check_cpu_engine(engine: EngineParameters, findings: Findings) -> None:
    if not find_library("numa"):
        findings.problem(
            "machine", "libnuma.so.1", "the CPU engine cannot run without libnuma: apt-get install libnuma1"
        )
    if problem := cpu_limits.quantization_problem(engine.quantization, flags=cpu_limits.core_flags()):
        findings.problem(cpu_limits.QUANTIZATION, engine.quantization, problem)


def stored_bytes(remaining: Sequence[Step], *, model_bytes: int) -> int:
    """Returns the bytes that the steps leave in the store at least.

    Args:
        remaining: steps that have no artifact yet.
        model_bytes: size of the base model; all copies of weights are taken to be as large.
    """
    # Without import, merge and image, what remains leaves only text, scores and an adapter.
    kinds = Counter(step.kind for step in remaining)
    return model_bytes * sum(copies * kinds[kind] for kind, copies in STORED_COPIES.items())


def scratch_bytes(remaining: Sequence[Step], *, model_bytes: int) -> int:
    """Returns the bytes that the largest of the steps has in its scratch folder at least; arguments as above."""
    return model_bytes * max((SCRATCH_COPIES.get(step.kind, 0) for step in remaining), default=0)


def memory_table(text: str) -> dict[str, int]:
    """Parses /proc/meminfo (proc_meminfo(5)) into bytes by name; its "kB" are 1,024 bytes. Counts are left out."""
    rows = (line.split() for line in text.splitlines() if line.endswith("kB"))
    return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows}


@dataclass(frozen=True)
class _Place:
    """A folder that the steps fill, the field that names it, and the bytes that they need there at least."""

    field: str
    folder: Path
    remedy: str
    needed: int


def _places(
    store: StoreLocation, remaining: Sequence[Step], *, model_bytes: int, scratch: Path | None
) -> Iterator[_Place]:
    if store.uri.startswith("file://"):
        folder = Path(unquote(urlsplit(store.uri).path))
        needed = stored_bytes(remaining, model_bytes=model_bytes)
        yield _Place("spec.artifacts.uri", folder, "put the store elsewhere", needed)
        scratch = scratch or folder
    if scratch is not None:
        needed = scratch_bytes(remaining, model_bytes=model_bytes)
        yield _Place("machine", scratch, "use another --workdir", needed)


def _check_disks(places: Iterable[_Place], findings: Findings) -> None:
    """Adds a problem for each file system that is too small for all that goes there."""
    disks: dict[int, list[_Place]] = {}
    for place in places:
        disks.setdefault(existing(place.folder).stat().st_dev, []).append(place)
    for shared in disks.values():
        first, needed = shared[0], sum(place.needed for place in shared)
        mount = mount_point(first.folder)
        state = os.statvfs(mount)
        free = state.f_bavail * state.f_frsize
        remedy = f"free some, or {' or '.join(place.remedy for place in shared)}"
        folder = str(first.folder)
        if needed > free:
            message = f"needs about {size_text(needed)} of disk, and {size_text(free)} of {mount} are free: {remedy}"
            findings.problem(first.field, folder, message)
        if few_inodes(state):
            message = f"the file system {mount} can take {state.f_favail} more files (inodes): {remedy}"
            findings.problem(first.field, folder, message)


def _check_memory(memory: dict[str, int], model_bytes: int, findings: Findings) -> None:
    needed = model_bytes + MEMORY_SPARE_BYTES
    # Total memory cannot change, so it refuses the run. Free memory can, and MemAvailable is an estimate: a warning.
    if model_bytes > memory["MemTotal"]:
        weights, total = size_text(model_bytes), size_text(memory["MemTotal"])
        message = f"its weights take {weights}, this machine has {total} of memory"
        findings.problem("spec.baseModel.uri", None, f"{message}: use a smaller model or a larger machine")
    elif needed > memory["MemAvailable"]:
        message = f"a step needs about {size_text(needed)} of memory, {size_text(memory['MemAvailable'])} are free"
        findings.warnings.append(f"machine: {message}; close other programs if a step is killed")
