"""Checks of the principle pack and of the evaluation suites: lint, token budget, and the format of every suite."""

from functools import partial

from selfalign_stages.base_model import selection, tokenizing
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.contract.graph import SUITE_PREFIX
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.evaluation import suites
from selfalign_stages.pack import lint
from selfalign_stages.pack.model import Pack
from selfalign_stages.preflight.findings import Findings

READERS = {"hhh": suites.choices, "truthfulqa": suites.truths, "adherence": suites.checks}


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


def suite_digests(task: PreflightTask, pack: Pack, found: Findings) -> dict[str, str]:
    """Digests of the readable suites by leaf name; the leaves stand in the manifest's order."""
    formats = _formats(task)
    names = [name for name in task.leaves if name.startswith(SUITE_PREFIX)]
    read: dict[str, str] = {}
    for position, name in enumerate(names):
        uri, field = task.leaves[name].uri, f"spec.stages.evaluation.suites[{position}].uri"
        digest = found.attempt(field, uri, partial(_digest, uri, formats[name], pack))
        read |= {name: digest} if digest else {}
    return read


def _digest(uri: str, format_: str, pack: Pack) -> str:
    READERS[format_](suites.content(uri, pack))
    return suites.digest(uri, pack)


def _formats(task: PreflightTask) -> dict[str, str]:
    """The format of every suite leaf, as the score steps have it."""
    scores = [step.resolved() for step in task.steps if step.kind == "score"]
    return {f"{SUITE_PREFIX}{suite['name']}": suite["format"] for score in scores for suite in score["suites"]}
