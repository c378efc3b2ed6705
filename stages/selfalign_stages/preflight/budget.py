"""Lints the pack against the base model: the self-align prompt must leave room for query and answer."""

from selfalign_stages.base import selection, tokenizing
from selfalign_stages.base.inspection import Inspection
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.pack import lint
from selfalign_stages.pack.model import Pack
from selfalign_stages.preflight.findings import Findings


def lint_pack(pack: Pack, base: Inspection | None, task: PreflightTask, found: Findings) -> None:
    """Tells problems and warnings of pack lint; tokens are counted by the base model's own tokenizer."""
    told = lint.lint(
        pack,
        assistant_name=task.assistant_name,
        count_tokens=tokenizing.counter(base.small[selection.TOKENIZER]) if base else None,
        context_length=base.context_length if base else None,
        max_tokens=task.max_tokens,
    )
    for finding in told:
        if finding.severity == "error":
            found.problem("spec.principles", task.leaves["pack"].uri, f"{finding.place}: {finding.message}")
        else:
            found.warnings.append(f"spec.principles: {finding.place}: {finding.message}")
