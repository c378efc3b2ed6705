"""`python -m selfalign_stages.pack PACK`: lints a pack.

`selfalign principles lint` runs this as a process of its own, because the operator's command line imports nothing of
the stages but the contract.
"""

import argparse
import json
import sys
from pathlib import Path

from selfalign_stages.contract.exits import ExitCode, StageError
from selfalign_stages.pack import lint
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.model import Pack


def main() -> int:
    """Prints the findings. Returns exit code 42 if one of them is an error, 0 otherwise."""
    parser = argparse.ArgumentParser(prog="selfalign principles lint", description="Checks a principle pack.")
    parser.add_argument("pack", help="builtin://NAME, a folder, or a YAML file like a ConfigMap")
    parser.add_argument("--model", type=Path, help="folder of a base model: checks that the prompt fits its context")
    parser.add_argument("--max-tokens", type=int, default=256, help="new tokens per answer, for that check")
    parser.add_argument("--assistant-name", default="Dromedary", help="name that fills {assistantName}")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    try:
        pack = load(options.pack if "://" in options.pack else Path(options.pack).resolve().as_uri())
        findings, summary = _lint(pack, options), _summary(pack)
    except StageError as error:
        findings, summary = [lint.Finding("error", "pack", str(error))], ""
    _write(findings, summary, as_json=options.output == "json")
    return ExitCode.BAD_INPUT if any(finding.severity == "error" for finding in findings) else 0


def _lint(pack: Pack, options: argparse.Namespace) -> list[lint.Finding]:
    count, context = None, None
    if options.model:
        # A library of its own, not Transformers: linting works without torch.
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
        context = json.loads((options.model / "config.json").read_text())["max_position_embeddings"]

        def count(text: str) -> int:
            return len(tokenizer.encode(text).ids)

    return lint.lint(
        pack,
        assistant_name=options.assistant_name,
        count_tokens=count,
        context_length=context,
        max_tokens=options.max_tokens,
    )


def _write(findings: list[lint.Finding], summary: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([vars(finding) for finding in findings], indent=2) + "\n")
        return
    for finding in findings:
        sys.stdout.write(f"{finding.severity}: {finding.place}: {finding.message}\n")
    sys.stdout.write(f"{summary}{len(findings)} finding(s)\n")


def _summary(pack: Pack) -> str:
    return (
        f"{pack.header.name} {pack.header.version}: {len(pack.principles)} principles, "
        f"{len(pack.exemplars)} exemplars, {len(pack.seed_tasks)} seed tasks, "
        f"{lint.annotation_lines(pack)} lines of human annotation; "
    )


if __name__ == "__main__":
    sys.exit(main())
