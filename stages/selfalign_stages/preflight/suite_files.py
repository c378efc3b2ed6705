"""Reads every evaluation suite in the format that its score steps expect, and takes its digest."""

from functools import partial

from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.evaluation import suites
from selfalign_stages.pack.model import Pack
from selfalign_stages.preflight.findings import Findings

READERS = {"hhh": suites.choices, "truthfulqa": suites.truths, "adherence": suites.checks}


def digests(task: PreflightTask, pack: Pack, found: Findings) -> dict[str, str]:
    """Digests of the readable suites by leaf name; the leaves stand in the manifest's order."""
    formats = _formats(task)
    names = [name for name in task.leaves if name.startswith(suites.LEAF)]
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
    return {f"{suites.LEAF}{suite['name']}": suite["format"] for score in scores for suite in score["suites"]}
