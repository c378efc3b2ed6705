"""`python -m selfalign_stages.verification TARGET`: what `selfalign verify` runs as a process of its own.

The operator's command line imports nothing of the stages but the contract. It passes a run as a preflight task.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from selfalign_stages.contract.exits import StageError
from selfalign_stages.contract.printable import printable
from selfalign_stages.contract.task import PreflightTask
from selfalign_stages.step.store import Store
from selfalign_stages.verification import images
from selfalign_stages.verification.artifacts import Verdict, verify_folder, verify_run

DAMAGED = 1
"""Exit code if anything is damaged."""
Found = Iterator[tuple[Store | None, Verdict]]


def main() -> int:
    """Prints one line per artifact as soon as it is read. Returns DAMAGED, an ExitCode, or 0 if everything is whole."""
    options = _parser().parse_args()
    verdicts = []
    try:
        for store, verdict in _verify(options):
            verdicts.append(verdict)
            if options.output == "text":
                _print(_lines(verdict))
            if options.set_aside and store is not None:
                for name in verdict.unusable:
                    store.set_aside(name)
    except StageError as error:
        sys.stderr.write(f"{printable(str(error))}\n")
        return int(error.code)
    if options.output == "json":
        sys.stdout.write(json.dumps([vars(verdict) for verdict in verdicts], indent=2) + "\n")
    else:
        _print(_summary(verdicts, set_aside=options.set_aside))
    return DAMAGED if any(verdict.problems for verdict in verdicts) else 0


def _verify(options: argparse.Namespace) -> Found:
    if options.task:
        return iter(verify_run(PreflightTask.model_validate_json(options.task.read_bytes())))
    folder = Path(options.target)
    if not folder.is_dir():
        return _image(options.target, images.verify_image(options.target, plain_http=options.plain_http))
    if (folder / "oci-layout").is_file():
        return _image(str(folder), images.verify_layout(folder))
    return iter(verify_folder(folder))


def _image(name: str, problems: list[str]) -> Found:
    yield None, Verdict(name, problems=tuple(problems))


def _lines(verdict: Verdict) -> list[str]:
    if verdict.problems:
        return [f"{verdict.name}: DAMAGED", *(f"  {problem}" for problem in verdict.problems)]
    if verdict.missing:
        return [f"{verdict.name}: not in the store"]
    read = f", {verdict.files} files, {verdict.size / (1 << 20):.1f} MiB" if verdict.files else ""
    return [f"{verdict.name}: whole{read}"]


def _summary(verdicts: list[Verdict], *, set_aside: bool) -> list[str]:
    damaged = [verdict for verdict in verdicts if verdict.problems]
    if not damaged:
        return ["no damage found"]
    stored = [verdict.name for verdict in damaged if verdict.unusable]
    if not stored:
        return [f"{len(damaged)} damaged"]
    if set_aside:
        return [f"{len(damaged)} damaged and set aside: the next run makes anew what {', '.join(stored)} published"]
    return [f"{len(damaged)} damaged: repeat this with --set-aside, then run again, to make {', '.join(stored)} anew"]


def _print(lines: list[str]) -> None:
    # Names and problems come from whoever may write to the store.
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="selfalign verify", description="Verifies artifacts and images.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("target", nargs="?", help="folder of a store or of an image layout, or an image reference")
    what.add_argument("--task", type=Path, help="JSON file with the preflight task of a run")
    parser.add_argument("--plain-http", action="store_true", help="reach the image's registry without TLS")
    parser.add_argument("--set-aside", action="store_true", help="move damaged objects of a store away")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    return parser


if __name__ == "__main__":
    sys.exit(main())
