r"""What counts as a word, in any script: one definition for lengths, near-duplicates, loops and leaks.

Letters and digits with the marks that belong to them, in one spelling and one case (`text.spelling`). `\w` alone leaves
out the combining marks of Devanagari, Hebrew or Thai and cuts words there, so that unlike texts share most pieces.
Scripts that are written without blanks have no words that a pattern could find; there every character is one, as in the
usual ROUGE for Chinese. Where a number of words is a length, such a character counts as a fraction of a word.
"""

import re
import unicodedata

from selfalign_stages.text.spelling import caseless

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3040-\u30ff\u31f0-\u31ff"
SOUTH_EAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
UNSPACED = f"{SOUTH_EAST_ASIAN}{KANA}{HAN}"
"""Blocks of scripts that write no blanks between words, as the inside of a character class."""
UNIT = 6
"""Parts of a word in which lengths are counted, so that they are whole numbers in all scripts."""
PARTS = ((re.compile(f"[{HAN}]"), 4), (re.compile(f"[{KANA}]"), 3), (re.compile(f"[{SOUTH_EAST_ASIAN}]"), 2))
"""What one character counts, in parts of a word: translators reckon with some 1.5 characters a word in Chinese, 2 in
Japanese texts of both scripts and 3 or more in Thai. Ten words of English say what fifteen characters of Chinese do."""


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
    """Splits a text into words in one spelling and case; an underscore separates, as in rouge_score."""
    return _found(text, WORD, ASCII_WORD)


def identifiers(text: str) -> list[str]:
    """As `words`, but an underscore is part of a word: a line of code does not count as many words."""
    return _found(text, IDENTIFIER, ASCII_IDENTIFIER)


def weight(word: str) -> int:
    """What an element of `words` or `identifiers`, or a mark, counts as a length: UNIT, or less for one character."""
    if word.isascii():
        return UNIT
    return next((parts for pattern, parts in PARTS if pattern.match(word)), UNIT)


def is_unspaced(word: str) -> bool:
    """Whether an element of `words` is one character of a script without blanks."""
    return weight(word) < UNIT


def length(text: str) -> int:
    """Length of a text in words: those that blanks separate, and the fractions for scripts without blanks, rounded."""
    if text.isascii():
        return len(text.split())
    total = 0
    for chunk in text.split():
        weights = [weight(word) for word in words(chunk)]
        total += sum(weights) if min(weights, default=UNIT) < UNIT else UNIT
    return round(total / UNIT)


def _found(text: str, pattern: re.Pattern[str], ascii_pattern: re.Pattern[str]) -> list[str]:
    if text.isascii():
        return ascii_pattern.findall(text.lower())
    return pattern.findall(caseless(text))
