"""Argo CD derives a run's health by the script in examples, run here by the Lua that Argo CD is built with."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.gitops.states import STATES
from tests.tools import go_tool, run_tool

pytestmark = pytest.mark.slow

LUA = ("github.com/yuin/gopher-lua/cmd/glua", "v1.1.1")
SCRIPT = Path(__file__).parents[2] / "examples" / "gitops" / "argocd-health.lua"


def literal(value: Any) -> str:
    """A JSON value in Lua."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{literal(name)}] = {literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(literal, value)) + "}"
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("name", STATES)
def test_argo_cd_derives_the_intended_health(name: str, tmp_path: Path) -> None:
    body, _, expected, word = STATES[name]
    program = tmp_path / "health.lua"
    program.write_text(
        f"obj = {literal(body())}\nlocal function health()\n{SCRIPT.read_text()}\nend\n"
        'local result = health()\nprint(result.status .. "\\t" .. result.message)\n'
    )
    status, _, message = run_tool(go_tool(*LUA), str(program)).partition("\t")
    assert status == expected and word in message
