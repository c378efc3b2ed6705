"""Packs and base models that ship with the distribution, addressed as builtin://NAME.

They make the quickstart and the tests run without a network, a hub account or a GPU.
"""

from importlib import resources
from pathlib import Path
from typing import Literal

from selfalign_stages.contract.exits import BadInput


def folder(kind: Literal["packs", "models"], name: str) -> Path:
    """Returns the folder of a built-in pack or model.

    Raises:
        BadInput: there is none of that name; the message lists the names that exist.
    """
    root = Path(str(resources.files(__name__))) / kind
    # A name with a slash could leave the folder: builtin://../packs.
    if (root / name).is_dir() and "/" not in name:
        return root / name
    known = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    raise BadInput(f"builtin://{name}: no such built-in among {kind}; there are {known}", reason="UnknownBuiltin")
