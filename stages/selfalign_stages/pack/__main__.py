"""`python -m selfalign_stages.pack PACK`: lints a pack.

`selfalign principles lint` runs this as a process of its own, because the operator's command line imports nothing of
the stages but the contract.
"""

import argparse
import sys
from pathlib import Path

from selfalign_stages.contract import strict_json
from selfalign_stages.contract.exits import BadInput, ExitCode, StageError
from selfalign_stages.contract.printable import printable, printable_json
from selfalign_stages.pack import files, lint
from selfalign_stages.pack.loading import InvalidPack, load
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
        pack = load(options.pack if "://" in options.pack else Path(options.pack).absolute().as_uri())
        findings, summary = _lint(pack, options), _summary(pack)
    except InvalidPack as error:
        findings, summary = [lint.Finding("error", *_place_and_message(problem)) for problem in error.problems], ""
    except StageError as error:
        findings, summary = [lint.Finding("error", "pack", str(error))], ""
    _write(findings, summary, as_json=options.output == "json")
    return ExitCode.BAD_INPUT if any(finding.severity == "error" for finding in findings) else 0


def _place_and_message(problem: str) -> tuple[str, str]:
    place, _, message = problem.partition(": ")
    return place, message


def _lint(pack: Pack, options: argparse.Namespace) -> list[lint.Finding]:
    count, context = None, None
    if options.model:
        count, context = _token_counter(options.model), _context_length(options.model / "config.json")

    return lint.lint(
        pack,
        assistant_name=options.assistant_name,
        count_tokens=count,
        context_length=context,
        max_tokens=options.max_tokens,
    )


def _token_counter(model: Path) -> lint.TokenCounter:
    # A library of its own, not Transformers: linting works without torch.
    from tokenizers import Tokenizer

    path = model / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library's errors have no class of their own
        raise BadInput(f"--model: {path}: {error}", reason="InvalidModel") from error
    return lambda text: len(tokenizer.encode(text).ids)


def _context_length(path: Path) -> int:
    text = files.read_text(path, reason="InvalidModel")
    try:
        config = strict_json.loads(text)
    except ValueError as error:
        raise BadInput(f"--model: {path}: {error}", reason="InvalidModel") from error
    length = config.get("max_position_embeddings") if isinstance(config, dict) else None
    if type(length) is not int:
        raise BadInput(f"--model: {path}: max_position_embeddings is no integer: {length!r}", reason="InvalidModel")
    return length


def _write(findings: list[lint.Finding], summary: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(printable_json([vars(finding) for finding in findings]) + "\n")
        return
    for finding in findings:
        sys.stdout.write(printable(f"{finding.severity}: {finding.place}: {finding.message}") + "\n")
    sys.stdout.write(printable(f"{summary}{len(findings)} finding(s)") + "\n")


def _summary(pack: Pack) -> str:
    return (
        f"{pack.header.name} {pack.header.version}: {len(pack.principles)} principles, "
        f"{len(pack.exemplars)} exemplars, {len(pack.seed_tasks)} seed tasks, "
        f"{lint.annotation_lines(pack)} lines of human annotation; "
    )


if __name__ == "__main__":
    sys.exit(main())
