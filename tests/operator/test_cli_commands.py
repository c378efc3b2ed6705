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

from selfalign_operator.cli import commands
from selfalign_operator.cli.app import app
from selfalign_stages import builtin
from selfalign_stages.contract.printable import printable
from selfalign_stages.pack import __main__ as linting

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


def all_commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be run, by its words on the command line."""
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        if isinstance(inner := getattr(command, "commands", None), dict):
            waiting += [(f"{words} {name}".strip(), part) for name, part in inner.items()]
        else:
            yield words, command


@pytest.mark.parametrize(
    ("words", "command"), list(all_commands()), ids=lambda value: value if isinstance(value, str) else ""
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


HOSTILE = "x\x1b]0;owned\x07\u202e\u200b[red]\n  all is well"


class Printed:
    """Runs commands in this process, and reads what they print if a terminal would carry out none of it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def validate(self, file: Path, *set_values: str, as_json: bool = False) -> str:
        commands.validate(file, set_values=set_values, as_json=as_json)
        return self._text()

    def lint(self, *arguments: str) -> str:
        self._monkeypatch.setattr(sys, "argv", ["lint", *arguments])
        assert linting.main() == 42
        return self._text()

    def _text(self) -> str:
        text = "".join(self._capsys.readouterr())
        assert all(printable(line) == line for line in text.split("\n")), ascii(text)
        return text


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    return Printed(capsys, monkeypatch)


@pytest.mark.parametrize("as_json", [False, True])
def test_no_control_of_a_manifest_reaches_the_terminal(printed: Printed, tmp_path: Path, as_json: bool) -> None:
    document = manifest(**{HOSTILE: HOSTILE, "assistantName": HOSTILE})
    document["metadata"]["name"] = HOSTILE
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(document))
    text = printed.validate(file, f"spec.{HOSTILE}={HOSTILE}", as_json=as_json)
    assert text.count("owned") >= 3 and "\n  all is well" not in text


def test_names_of_files_are_printable_too(printed: Printed, tmp_path: Path) -> None:
    file = tmp_path / "\x1b[2J\u202e.yaml"
    file.write_text(yaml.safe_dump(manifest()))
    assert r"\x1b[2J\u202e.yaml is valid" in printed.validate(file)
    assert "cannot be read" in printed.validate(file.with_name("\x1b"))
    assert r"\udcff" in printed.validate(Path("/nowhere/\udcff"))  # how Python holds a name that is not UTF-8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xef\xbb\xbf" + yaml.safe_dump(manifest()).encode(), "is valid"),
        (yaml.safe_dump(manifest()).encode("utf-16"), "not UTF-8 at byte 0: save it as UTF-8"),
        (b"a: \xff", "not UTF-8 at byte 3"),
        (b"\x00" * 100, "the character U+0000 is not allowed"),
        (b"[" * 10_000, "nested in more than"),
    ],
    ids=["BOM", "UTF-16", "Latin-1", "NUL", "depth"],
)
def test_any_bytes_are_a_manifest_or_a_problem(printed: Printed, data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(data)
    assert message in printed.validate(file)


def test_a_file_without_end_is_refused(printed: Printed) -> None:
    assert "more than an API server takes" in printed.validate(Path("/dev/zero"))


def test_lint_prints_one_line_for_each_problem_of_a_pack(printed: Printed, tmp_path: Path) -> None:
    (tmp_path / f"suite.{HOSTILE[:9]}.json").write_text("[]")
    (tmp_path / "pack.yaml").write_text(json.dumps({"name": "", HOSTILE: HOSTILE}))
    text = printed.lint(str(tmp_path))
    assert "error: pack.yaml: name: " in text and "error: principles.yaml: missing" in text
    findings = json.loads(printed.lint(str(tmp_path), "-o", "json"))
    assert {"severity", "place", "message"} == set(findings[0]) and len(findings) > 5


def test_lint_names_the_file_of_a_model_that_it_cannot_read(printed: Printed, tmp_path: Path) -> None:
    assert "tokenizer.json" in printed.lint("builtin://hamlet", "--model", str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    assert "tokenizer.json" in printed.lint("builtin://hamlet", "--model", str(tmp_path))
    copied = builtin.folder("models", "hamlet") / "tokenizer.json"
    (tmp_path / "tokenizer.json").write_bytes(copied.read_bytes())
    for config in (None, "{", "[]", '{"max_position_embeddings": "many"}'):
        if config is not None:
            (tmp_path / "config.json").write_text(config)
        assert "config.json" in printed.lint("builtin://hamlet", "--model", str(tmp_path))


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
