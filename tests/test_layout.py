"""The shape of the repository that other parts rely on."""

import operator
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 2) == 3


def test_locks_carry_hashes_and_no_addresses() -> None:
    for name in ("requirements.lock", "requirements.bootstrap.txt"):
        text = (ROOT / name).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
