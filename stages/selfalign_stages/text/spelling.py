"""One spelling for what readers see as the same text, in any script. For comparisons only: no text is changed by it.

A model writes one word in several ways. Arabic has digits of its own, optional vowel marks, a stroke that stretches
words (tatweel), and hamza and final letters that many leave out; Chinese and Japanese have letters, digits and
punctuation of double width; texts that run from right to left contain invisible marks of direction. Compared character
by character, a leak, a loop, a refusal or a duplicate would hide behind each of them.

The letters are those of Lucene's ArabicNormalizer and PersianNormalizer. NFKC is not used: it also spells out "™" and
"½", which makes other words of them.
"""

import unicodedata

_INVISIBLE = [0xAD, 0x61C, *range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
"""Soft hyphen, joiners and marks of direction. The zero-width space is none: it separates words."""
_ARABIC_MARKS = [0x640, *range(0x64B, 0x656), 0x670]
"""Tatweel and the marks above and below letters, which only some texts write."""
_LETTERS = {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ى": "ي", "ی": "ي", "ة": "ه", "ک": "ك"}
_PUNCTUATION = {"،": ",", "؛": ";", "؟": "?", "۔": ".", "।": ".", "。": ". ", "｡": ". ", "、": ", "}
"""Marks of other scripts as the ASCII marks of the same use. Those of East Asia contain the blank that follows them."""
_DIGITS = {zero + value: str(value) for zero in (0x660, 0x6F0) for value in range(10)}
"""The digits of Arabic and Persian, as in "١٧": the same number as 17."""
_SPACED = ",.:;!?"


_ONE_BY_ONE: dict[int, str | None] = {
    **_DIGITS,
    **{ord(letter): text for letter, text in (_LETTERS | _PUNCTUATION).items()},
    **dict.fromkeys([*_INVISIBLE, *_ARABIC_MARKS]),
}


def _forms() -> dict[int, str]:
    """Letters and marks of another width, or with the form that an Arabic letter has at its place in a word."""
    blocks = (range(0xFB50, 0xFE00), range(0xFE70, 0xFEFF), range(0xFF00, 0xFFF0))
    plain = {number: unicodedata.normalize("NFKC", chr(number)) for block in blocks for number in block}
    return {
        # Some forms stand for letters that have another spelling themselves.
        number: f"{text} " if number >= 0xFF00 and text in _SPACED else text.translate(_ONE_BY_ONE)
        for number, text in plain.items()
        if text != chr(number)
    }


_TABLE: dict[int, str | None] = {**_forms(), **_ONE_BY_ONE}


def one_spelling(text: str) -> str:
    """Returns the text in one spelling: composed letters (NFC), one width, without optional and invisible marks.

    Case stays as it is. ASCII text is returned as it is.
    """
    if text.isascii():
        return text
    # Composed before: "alef, hamza above" is to become what the one letter with both becomes. And after, because the
    # letters of presentation forms may be decomposed.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_TABLE))


def caseless(text: str) -> str:
    """Returns the text in one spelling and one case."""
    if text.isascii():
        return text.lower()
    # Casefolding may decompose a letter (the Turkish capital dotted i).
    return unicodedata.normalize("NFC", one_spelling(text).casefold())
