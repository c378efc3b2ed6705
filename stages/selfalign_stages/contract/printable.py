"""Text that others wrote, made safe to print: every character that a reader would not see becomes a visible escape.

Field names, values, file names, error texts of servers and answers of models all reach terminals and logs. A terminal
carries out escape sequences (they can rewrite what is above them, or the clipboard), bidirectional controls show a line
in another order than it has, zero-width characters make two names look like one, and a newline lets a value pose as a
line of the program's own (CWE-150, CWE-117, CVE-2021-42574). `printable` is applied where texts are written, and to the
messages that a run's status carries elsewhere (`Message`), since kubectl prints those as they are.
"""

import json
from typing import Annotated, Any

from pydantic import AfterValidator

INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    map(chr, range(0xE0100, 0xE01F0))
)
"""Characters without a glyph that Unicode counts as letters and marks (Default_Ignorable_Code_Point). The 16 variation
selectors of emoji are left out: they change how the character before them looks."""
BLANKS = frozenset("\u00a0\u1680\u202f\u205f\u3000") | frozenset(map(chr, range(0x2000, 0x200B)))
"""Blanks beside the space (category Zs): visible as such, and part of French and Chinese texts."""
SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""Escapes controls, newlines, format characters, surrogates and unassigned code points, as Python writes them.

    Other characters stay, backslashes included: the result is for readers and need not be read back, and applying the
    function twice changes nothing.

    Returns:
        One line, such as `spec.\x1b[2J` or `file\u202egnp.exe`.
    """
    if text.isprintable() and INVISIBLE.isdisjoint(text):
        return text
    return "".join(_escaped(character) for character in text)


def printable_json(value: Any) -> str:
    """Encodes a value as indented JSON in ASCII without controls: what a program reads, a terminal can show."""
    # DEL is ASCII, so json.dumps writes it as it is.
    return json.dumps(value, indent=2).replace("\x7f", r"\u007f")


def _escaped(character: str) -> str:
    if (character.isprintable() and character not in INVISIBLE) or character in BLANKS:
        return character
    code = ord(character)
    if code < 0x100:
        return SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


Message = Annotated[str, AfterValidator(printable)]
"""A text of a result or status, made printable when it is created or read."""
