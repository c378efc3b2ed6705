"""Lints the pack against the base model: the self-align prompt must leave room for query and answer."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from selfalign_stages.base.checks import Verdict
from selfalign_stages.base.sources import Source
from selfalign_stages.contract.task import PreflightTask, Problem
from selfalign_stages.pack import lint
from selfalign_stages.pack.model import Pack


def lint_pack(
    pack: Pack, source: Source, verdict: Verdict, small: Mapping[str, bytes], task: PreflightTask
) -> tuple[list[Problem], list[str]]:
    """Problems and warnings of pack lint, with the base model's own tokenizer where it ships a tokenizer.json."""
    context = json.loads(small["config.json"]).get("max_position_embeddings")
    findings = lint.lint(
        pack,
        assistant_name=task.assistant_name,
        count_tokens=_counter(source, verdict),
        context_length=context,
        max_tokens=task.max_tokens,
    )
    problems = [
        Problem(field="spec.principles", value=finding.place, message=finding.message)
        for finding in findings
        if finding.severity == "error"
    ]
    return problems, [f"{finding.place}: {finding.message}" for finding in findings if finding.severity == "warning"]


def _counter(source: Source, verdict: Verdict) -> lint.Counter | None:
    if not any(file.path == "tokenizer.json" for file in verdict.files):
        return None
    from tokenizers import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tokenizer.json"
        source.fetch("tokenizer.json", target)
        tokenizer = Tokenizer.from_file(str(target))
    return lambda text: len(tokenizer.encode(text).ids)
