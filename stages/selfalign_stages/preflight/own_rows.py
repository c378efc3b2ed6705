"""Reads the files with prompts and training rows of one's own, by the readers of steps `prompts` and `train`.

Both steps come after generation: without this, a wrong line would end the run when hours have been paid for.
"""

from functools import partial
from pathlib import Path

from selfalign_stages.contract.graph import PROMPT_SOURCE_PREFIX
from selfalign_stages.contract.parameters import PromptsParameters
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.own_rows import reading
from selfalign_stages.preflight.findings import Findings
from selfalign_stages.redteaming import own_prompts
from selfalign_stages.tuning import extra_rows


def prompt_source_digests(task: PreflightTask, findings: Findings, *, scratch: Path | None = None) -> dict[str, str]:
    """Reads all files with prompts of one's own.

    Args:
        task: the run.
        findings: receives a problem for every file that cannot be read or has a wrong row, and a warning for every one
            with fewer rows than its share.
        scratch: folder for downloads; None: the system's for temporary files.

    Returns:
        Digests by leaf name, of the files that can be read.
    """
    limits = _limits(task)
    found: dict[str, str] = {}
    for name in (name for name in task.leaves if name.startswith(PROMPT_SOURCE_PREFIX)):
        file = own_prompts.row_file(name, task.leaves[name], store=task.store)
        examine = partial(reading.examine, file, own_prompts.OwnPrompt, scratch=scratch)
        examined = findings.attempt(f"{file.field}.uri", file.leaf.uri, examine)
        if examined is None:
            continue
        rows, found[name] = examined
        if rows < (limit := limits.get(name, 0)):
            findings.warnings.append(
                f"{file.field}.uri: has {rows} rows for a share of {limit} prompts; the run will have fewer prompts"
            )
    return found


def extra_rows_digests(task: PreflightTask, findings: Findings, *, scratch: Path | None = None) -> dict[str, str]:
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


def _limits(task: PreflightTask) -> dict[str, int]:
    """Most prompts by leaf name, from the parameters of step prompts."""
    steps = (PromptsParameters.model_validate(step.resolved()) for step in task.steps if step.kind == "prompts")
    return {
        f"{PROMPT_SOURCE_PREFIX}{number}": limit
        for step in steps
        for number, limit in enumerate(step.own_prompts or ())
    }
