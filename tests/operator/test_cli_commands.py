"""The command line as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.operator.builders import manifest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "vllm", "transformers", "peft", "boto3", "kopf", "kubernetes", "pydantic", "yaml")


def selfalign(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "selfalign_operator", *arguments]
    return subprocess.run(program, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    code = f"import sys, selfalign_operator.cli; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    told = selfalign("--help").stdout
    assert all(name in told for name in ("run", "validate", "crd", "principles", "version"))


def test_validate_tells_all_problems_as_json(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(manifest(seed="x", sed=1)))
    done = selfalign("validate", str(file), "-o", "json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert {one["field"] for one in told} == {"spec.seed", "spec.sed"}
    assert all(set(one) == {"field", "value", "message"} for one in told)


def test_a_valid_manifest_gives_an_empty_list_and_0() -> None:
    done = selfalign("validate", "-", "-o", "json", text=yaml.safe_dump(manifest()))
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_run_refuses_an_invalid_manifest_before_any_work(tmp_path: Path) -> None:
    done = selfalign("run", "-", "--workdir", str(tmp_path / "w"), "-o", "json", text=yaml.safe_dump(manifest(seed=-1)))
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0]["field"] == "spec.seed"
    assert "spec.seed = -1" in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_missing_file_is_told_plainly() -> None:
    done = selfalign("validate", "/nowhere/run.yaml")
    assert done.returncode == 1 and "cannot be read" in done.stderr and "Traceback" not in done.stderr


def test_crd_prints_the_definition() -> None:
    assert yaml.safe_load(selfalign("crd").stdout)["kind"] == "CustomResourceDefinition"


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_are_valid(file: Path) -> None:
    done = selfalign("validate", str(file))
    assert done.returncode == 0, done.stderr


def test_version_is_told() -> None:
    assert selfalign("version").stdout.strip().count(".") == 2
