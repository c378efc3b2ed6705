"""Checks the principle pack and the evaluation suites: lint, token budget, and the format of every suite.

A suite is read here by the reader that step `score` uses: a malformed line of it would otherwise end the run at its
last GPU step, after everything else has been paid for.
"""

from collections.abc import Callable, Mapping
from functools import partial

from selfalign_stages.base_model import selection, tokenizing
from selfalign_stages.base_model.inspection import Inspection
from selfalign_stages.contract.graph import PACK, SUITE_PREFIX
from selfalign_stages.contract.parameters import AnswersParameters
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.evaluation import suites
from selfalign_stages.pack import lint, thoughts
from selfalign_stages.pack.model import Pack
from selfalign_stages.preflight.findings import Findings

READERS: dict[str, Callable[[Mapping[str, str], str], object]] = {
    "hhh": lambda texts, language: suites.parse_hhh(texts),
    "truthfulqa": lambda texts, language: suites.parse_truthfulqa(texts),
    "adherence": lambda texts, language: suites.parse_adherence(texts),
    "limits": lambda texts, language: suites.parse_limits(texts, language=language),
}
"""Reader by format name of the manifest (contract.parameters, SuiteFormat); it takes the texts and the language."""


def lint_pack(pack: Pack, base: Inspection | None, task: PreflightTask, findings: Findings) -> None:
    """Lints a pack for the run that uses it.

    Args:
        pack: the whole pack.
        base: the base model, whose tokenizer counts the prompts' tokens. None if it cannot be read or is unfit: the
            token budget is then not checked.
        task: has the assistant's name and the longest completion, both of which take tokens.
        findings: receives lint's errors as problems and its warnings as warnings.
    """
    lint_findings = lint.lint(
        pack,
        assistant_name=task.assistant_name,
        count_tokens=tokenizing.token_counter(base.small_files[selection.TOKENIZER]) if base else None,
        context_length=task.engine.context(base.context_length) if base else None,
        max_tokens=task.max_tokens,
    )
    for step in task.steps:
        if step.kind == "answers":
            chosen = AnswersParameters.model_validate(step.resolved()).thought
            findings.attempt(thoughts.FIELD, str(chosen), partial(thoughts.resolve, pack, chosen))
    if base:
        _context(base, task, findings)
        _names(pack, base.small_files[selection.TOKENIZER], task, findings)
    for finding in lint_findings:
        if finding.severity == "error":
            findings.problem("spec.principles", task.leaves[PACK].uri, f"{finding.place}: {finding.message}")
        else:
            findings.warnings.append(f"spec.principles: {finding.place}: {finding.message}")


def _context(base: Inspection, task: PreflightTask, findings: Findings) -> None:
    """Refuses a context window beyond the model's positions, which vLLM refuses after the GPU was granted."""
    chosen, own = task.engine.context_length, base.context_length
    if chosen is not None and own is not None and chosen > own:
        message = f"the base model's context is {own} tokens (config.json): lower it, or leave it unset"
        findings.problem("spec.engine.contextLength", chosen, message)


def _names(pack: Pack, tokenizer: bytes, task: PreflightTask, findings: Findings) -> None:
    """Refuses names that the model cannot repeat because its tokenizer changes them; it would reject every answer."""
    remedy = "which the base model's tokenizer changes; write it in composed form (Unicode NFC)"
    if tokenizing.altered(tokenizer, [task.assistant_name]):
        findings.problem("spec.assistantName", task.assistant_name, f"has a letter in two parts, {remedy}")
    for name in tokenizing.altered(tokenizer, [principle.name for principle in pack.principles]):
        findings.problem(
            "spec.principles",
            task.leaves[PACK].uri,
            f"principles.yaml: the name {name!r} has a letter in two parts, {remedy}",
        )


def suite_digests(task: PreflightTask, pack: Pack, findings: Findings) -> dict[str, str]:
    """Reads all evaluation suites and computes their digests.

    Args:
        task: its suite leaves have the order of the manifest's list, from which a problem's index follows.
        pack: contains the suites of pack:// addresses.
        findings: receives a problem for every suite that is missing or malformed.

    Returns:
        Digests by leaf name, of the suites that can be read.
    """
    # The index in the field path counts suites in the order of the manifest, which is the order of the leaves.
    formats = _formats(task)
    names = [name for name in task.leaves if name.startswith(SUITE_PREFIX)]
    digests: dict[str, str] = {}
    for position, name in enumerate(names):
        uri, field = task.leaves[name].uri, f"spec.stages.evaluation.suites[{position}].uri"
        digest = findings.attempt(field, uri, partial(_digest, uri, formats[name], pack))
        digests |= {name: digest} if digest else {}
    return digests


def _digest(uri: str, format_: str, pack: Pack) -> str:
    # The rows are parsed for their errors alone.
    READERS[format_](suites.read_texts(uri, pack), pack.header.language)
    return suites.digest(uri, pack)


def _formats(task: PreflightTask) -> dict[str, str]:
    """Returns the format of every suite by leaf name, from the parameters of the score steps."""
    scores = [step.resolved() for step in task.steps if step.kind == "score"]
    return {f"{SUITE_PREFIX}{suite['name']}": suite["format"] for score in scores for suite in score["suites"]}
