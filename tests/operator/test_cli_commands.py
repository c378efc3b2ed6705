"""The command line as a user runs it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.operator.builders import manifest
from tests.operator.schema_walk import faults

from selfalign_operator.cli.app import app

ROOT = Path(__file__).parents[2]
SUMMARY_CHARACTERS = 45
"""typer cuts a command's summary in lists and in docs/cli.md here."""
HEAVY = ("torch", "vllm", "transformers", "peft", "boto3", "kopf", "kubernetes", "pydantic", "yaml")


def selfalign(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "selfalign_operator", *arguments]
    return subprocess.run(program, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    code = f"import sys, selfalign_operator.cli.app; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    text = selfalign("--help").stdout
    assert all(name in text for name in ("run", "validate", "crd", "principles", "version"))


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be run, by its words on the command line."""
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        if isinstance(inner := getattr(command, "commands", None), dict):
            waiting += [(f"{words} {name}".strip(), part) for name, part in inner.items()]
        else:
            yield words, command


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_option_has_a_help_text_in_sentences(words: str, command: Any) -> None:
    summary = (command.help or "").split("\n")[0]
    assert summary.endswith(".") and len(summary) <= SUMMARY_CHARACTERS, words
    helps = {parameter.name: parameter.help for parameter in command.params if parameter.name != "help"}
    assert {name: problems for name, text in helps.items() if (problems := faults(text))} == {}


def test_validate_reports_all_problems_as_json(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(manifest(seed="x", sed=1)))
    done = selfalign("validate", str(file), "-o", "json")
    problems = json.loads(done.stdout)
    assert done.returncode == 1
    assert {problem["field"] for problem in problems} == {"spec.seed", "spec.sed"}
    assert all(set(problem) == {"field", "value", "message"} for problem in problems)


def test_a_valid_manifest_gives_an_empty_list_and_0() -> None:
    done = selfalign("validate", "-", "-o", "json", text=yaml.safe_dump(manifest()))
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_run_refuses_an_invalid_manifest_before_any_work(tmp_path: Path) -> None:
    done = selfalign("run", "-", "--workdir", str(tmp_path / "w"), "-o", "json", text=yaml.safe_dump(manifest(seed=-1)))
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0]["field"] == "spec.seed"
    assert "spec.seed = -1" in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_missing_file_is_reported_without_a_traceback() -> None:
    done = selfalign("validate", "/nowhere/run.yaml")
    assert done.returncode == 1 and "cannot be read" in done.stderr and "Traceback" not in done.stderr


def test_crd_prints_the_definition() -> None:
    assert yaml.safe_load(selfalign("crd").stdout)["kind"] == "CustomResourceDefinition"


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_valid(file: Path) -> None:
    done = selfalign("validate", str(file))
    assert done.returncode == 0, done.stderr


def test_lint_passes_its_options_on_and_returns_the_exit_code(tmp_path: Path) -> None:
    done = selfalign("principles", "lint", "builtin://hamlet", "--assistant-name", "Juniper", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    (tmp_path / "pack.yaml").write_text("{}")
    assert selfalign("principles", "lint", str(tmp_path)).returncode == 42
    assert selfalign("principles", "lint", "builtin://hamlet", "--modle", "x").returncode == 2


def test_version_is_printed() -> None:
    assert selfalign("version").stdout.strip().count(".") == 2
