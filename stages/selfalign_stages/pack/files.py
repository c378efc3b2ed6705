"""Reads files that users name: packs and evaluation suites. Only regular files, only text, and only so much of it.

A folder may contain a pipe that nobody writes to, a device without end, a socket, or a link to a file of the pod;
opening the first would hang preflight, and reading the second would fill its memory. Files are therefore opened without
waiting, looked at through the open descriptor (a name can be exchanged in between), and read up to a limit.
"""

import os
import stat
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.printable import printable
from selfalign_stages.contract.strict_json import BYTE_ORDER_MARK, decode

MAX_BYTES = 32 * 2**20
"""Largest file that is read. The largest public suite in use has 3 MB, and a ConfigMap holds 1 MiB."""


def local_path(uri: str) -> Path:
    """Returns the path of a file:// address.

    Raises:
        ValueError: the address has no path that a file can have.
    """
    path = os.fsdecode(unquote_to_bytes(urlsplit(uri).path))
    if not path.startswith("/") or "\0" in path:
        raise ValueError("is not file:///PATH")
    return Path(path)


def read_text(path: Path, *, reason: str) -> str:
    """Reads a file of UTF-8 text.

    Args:
        path: the file.
        reason: reason of the error.

    Returns:
        The text without byte order mark, line ends normalised to a newline.

    Raises:
        BadInput: it is not there, no regular file, too large, or not UTF-8.
    """
    name = printable(str(path))
    try:
        data = _read(path)
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}", reason=reason) from error
    if data is None:
        raise BadInput(f"{name}: is a pipe, device or socket: put a regular file there", reason=reason)
    if len(data) > MAX_BYTES:
        raise BadInput(f"{name}: is larger than {MAX_BYTES} bytes, the most that is read: shorten it", reason=reason)
    try:
        return decode(data).removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n")
    except ValueError as error:
        raise BadInput(f"{name}: {error}", reason=reason) from error


def _read(path: Path) -> bytes | None:
    """At most one byte more than MAX_BYTES; None if it is no regular file."""
    # O_NONBLOCK: opening a pipe would wait for someone who writes to it. It means nothing for regular files.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source:
        return source.read(MAX_BYTES + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
