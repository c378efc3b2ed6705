"""Packs and base models that ship with the distribution, addressed as builtin://NAME.

They make the quickstart and the tests run without a network, a hub account or a GPU.
"""

from importlib import resources
from pathlib import Path
from typing import Literal

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.printable import printable

LONGEST = 100
"""Characters of a name that are shown."""


def folder(kind: Literal["packs", "models"], name: str) -> Path:
    """Returns the folder of a built-in pack or model.

    Raises:
        BadInput: there is none of that name; the message lists the names that exist.
    """
    root = Path(str(resources.files(__name__))) / kind
    known = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("_"))
    # Compared with what is there: joined to a path, names such as "", ".." and ../packs would lead elsewhere.
    if name in known:
        return root / name
    raise BadInput(
        f"builtin://{printable(name[:LONGEST])}: no such built-in among {kind}; there are {known}",
        reason="UnknownBuiltin",
    )
