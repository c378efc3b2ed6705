"""Reads the files with training rows of one's own, by the reader of step `train`, before a GPU writes the answers."""

from functools import partial
from pathlib import Path

from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.own_rows import reading
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.tuning import extra_rows


def digests(task: PreflightTask, findings: Findings, *, scratch: Path | None = None) -> dict[str, str]:
    """Reads all files with training rows of one's own.

    Args:
        task: the run.
        findings: receives a problem for every file that cannot be read or has a wrong row.
        scratch: folder for downloads; None: the system's for temporary files.

    Returns:
        Digests by leaf name, of the files that can be read.
    """
    found: dict[str, str] = {}
    for name in extra_rows.names(task.leaves):
        file = extra_rows.row_file(name, task.leaves[name], store=task.store)
        examine = partial(reading.examine, file, extra_rows.ExtraRow, scratch=scratch)
        if examined := findings.attempt(f"{file.field}.uri", file.leaf.uri, examine):
            _, found[name] = examined
    return found
