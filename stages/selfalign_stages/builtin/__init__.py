"""Packs and base models that ship with the distribution, addressed as builtin://NAME."""

from importlib import resources
from pathlib import Path
from typing import Literal

from selfalign_stages.contract.exits import BadInput


def folder(kind: Literal["packs", "models"], name: str) -> Path:
    """The folder of a built-in pack or model; BadInput names those there are."""
    root = Path(str(resources.files(__name__))) / kind
    if (root / name).is_dir() and "/" not in name:
        return root / name
    known = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    raise BadInput(f"builtin://{name}: no such built-in among {kind}; there are {known}", reason="UnknownBuiltin")
