r"""What counts as a word, in any script: one definition for lengths, near-duplicates, loops and leaks.

Letters and digits with the marks that belong to them, after normalisation to NFC and in lower case. `\w` alone leaves
out the combining marks of Devanagari, Arabic or Thai and cuts words there, so that unlike texts share most pieces.
Scripts that are written without blanks have no words that a pattern could find; there every character is one, as in the
usual ROUGE for Chinese.
"""

import re
import unicodedata

UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Blocks of scripts that write no blanks between words, as the inside of a character class."""


MARKS_BETWEEN = 0x300, 0x1E950
"""Code points that include all combining marks but variation selectors; a walk over all of Unicode takes 0.2 s."""


def _marks() -> str:
    """All combining marks, as the inside of a character class."""
    ranges: list[list[int]] = []
    for number in range(*MARKS_BETWEEN):
        if unicodedata.category(chr(number)) in ("Mn", "Mc", "Me"):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


MARKS = _marks()
CHARACTER = rf"[{UNSPACED}](?<=\w)[{MARKS}]*"
"""One letter of a script without blanks, with its marks."""
LETTERS = rf"(?:(?![{UNSPACED}])[^\W_])(?:(?![{UNSPACED}])(?:[^\W_]|[{MARKS}]))*"
"""A run of letters and digits of any other script, with their marks."""
WORD = re.compile(f"{LETTERS}|{CHARACTER}")
IDENTIFIER = re.compile(rf"(?:(?![{UNSPACED}])\w)(?:(?![{UNSPACED}])(?:\w|[{MARKS}]))*|{CHARACTER}")
ASCII_WORD, ASCII_IDENTIFIER = re.compile(r"[a-z0-9]+"), re.compile(r"[a-z0-9_]+")
"""The same for ASCII text, three times as fast."""


def words(text: str) -> list[str]:
    """Splits a text into lower-case words; an underscore separates, as in rouge_score."""
    return _found(text, WORD, ASCII_WORD)


def identifiers(text: str) -> list[str]:
    """As `words`, but an underscore is part of a word: a line of code does not count as many words."""
    return _found(text, IDENTIFIER, ASCII_IDENTIFIER)


def _found(text: str, pattern: re.Pattern[str], ascii_pattern: re.Pattern[str]) -> list[str]:
    if text.isascii():
        return ascii_pattern.findall(text.lower())
    # Lower case may decompose a letter (the Turkish capital dotted i), so that normalisation comes after it.
    return pattern.findall(unicodedata.normalize("NFC", text.lower()))
