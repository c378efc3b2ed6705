"""The one way to turn a name that others wrote into a path below a folder.

Names come from manifests, indexes, checkpoints, image layouts and repositories, and whoever may write to a store or a
folder chooses them. A name such as `../../.ssh/authorized_keys`, an absolute one, or a link planted beside good files
would let that person write anywhere the process can, or publish whatever it can read (CWE-22, CWE-59). Every such name
therefore passes `check_name`, and every path that is made of one comes from `inside`.
"""

from pathlib import Path

from selfalign_stages.contract.exits import BadInput


def check_name(name: str) -> str:
    """Returns a relative path with / as separator if it stays below whatever folder it is joined to.

    Raises:
        ValueError: it is empty or absolute, has an empty, `.` or `..` part, or contains a backslash or a control
            character.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} is not the path of a file below a folder, such as models/config.json")
    return name


def inside(root: Path, name: str) -> Path:
    """Joins a folder and a name that others wrote.

    Args:
        root: the folder. It may itself be reached through links.
        name: relative path with / as separator.

    Returns:
        ROOT/NAME, which need not exist.

    Raises:
        BadInput: the name is no path below a folder, or a link on the way leads out of `root`.
    """
    try:
        path = root / check_name(name)
    except ValueError as error:
        raise BadInput(f"{root}: {error}; remove the entry from where it is listed", reason="PathEscapes") from error
    # Resolves links of all parts that exist, the last one included; what does not exist yet cannot be a link.
    try:
        stays = path.resolve().is_relative_to(root.resolve())
    except RuntimeError as error:  # links in a circle; pathlib of Python 3.11 and 3.12 reports them so
        raise BadInput(f"{path}: {error}; remove these links", reason="PathEscapes") from error
    if not stays:
        raise BadInput(f"{path}: is a link that leaves {root}; put the file itself there", reason="PathEscapes")
    return path
