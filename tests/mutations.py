"""Damaged and hostile variants of good texts, for fuzz tests: the same ones for the same seed.

Random characters alone never get past the first token of a parser. Therefore every variant is a good text with a few
changes: pieces removed, repeated, exchanged with another text, and replaced or joined by what parsers are known to
stumble over. For parsers of bytes, `fuzzing` does the same.
"""

import random
from collections.abc import Iterator, Sequence

HOSTILE = (
    *(
        "[",
        "]",
        "{",
        "}",
        ":",
        ": ",
        ",",
        "-",
        "- ",
        "? ",
        "&a ",
        "*a",
        "<<: ",
        "!",
        "!!",
        "|",
        ">",
        "#",
        "%",
        "@",
        "`",
    ),
    *('"', "'", "\\", "\n", "\r", "\t", " ", "  ", "\x00", "\x1b[2J", "\x7f", "\x85", "\xa0", "\u2028", "\u202e"),
    *(
        "\u200b",
        "\ufeff",
        "\ufffe",
        "\U0010ffff",
        "\ud800",
        "\\ud800",
        '"\\ud83d"',
        '"\\UFFFFFFFF"',
        '"\\x00"',
        "٣",
        "²",
    ),
    *(
        "null",
        "true",
        "NaN",
        "-Infinity",
        ".nan",
        ".inf",
        "0x_",
        "0o8",
        "0777",
        "1e999",
        "-0",
        "1_0",
        "9" * 5000,
        "1e-400",
    ),
    *(
        "!!binary aGk=",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!python/name:os.system ",
        "!!int x",
        "!!float 1",
        "!foo ",
        "! ",
    ),
    *("&a [*a]", "&a {b: *a}", "{[a]: b}", "{1: a}", "? [a, b]\n: c\n", "---\n", "...\n", "%YAML 1.3\n", "%TAG ! x:\n"),
    *("[" * 300, '{"a":' * 300, "- " * 300, "]" * 300, "(" * 300, "1 (" * 300, "a" * 3000, "1h" * 300, "\n" * 300),
    *("__proto__", "..", "../../etc/passwd", "/dev/zero", "[red]", "{assistantName}", "$(id)", "1e3", "1h30m", "40Gi"),
)
LARGEST_PIECE = 30
"""Characters of the longest piece that is removed, repeated or exchanged: about a line."""
MOST_CHANGES = 4


def mutations(texts: Sequence[str], count: int, *, seed: int) -> Iterator[str]:
    """Yields variants.

    Args:
        texts: good texts.
        count: how many variants.
        seed: of the random choices.
    """
    chance = random.Random(seed)
    for _ in range(count):
        text = chance.choice(texts)
        for _ in range(chance.randint(1, MOST_CHANGES)):
            text = _changed(text, texts, chance)
        yield text


def _changed(text: str, texts: Sequence[str], chance: random.Random) -> str:
    start = chance.randint(0, len(text))
    end = min(len(text), start + chance.randint(0, LARGEST_PIECE))
    kind = chance.randrange(7)
    if kind == 0:
        piece = ""
    elif kind == 1:
        piece = text[start:end] * chance.choice((2, 3, 200))
    elif kind == 2:
        other = chance.choice(texts)
        begin = chance.randint(0, len(other))
        piece = other[begin : begin + LARGEST_PIECE]
    elif kind == 3:
        piece = chr(chance.choice((chance.randrange(32), chance.randrange(256), chance.randrange(0x110000))))
    elif kind == 4:
        return text[:start]  # cut off, as by a full disk
    else:
        piece = chance.choice(HOSTILE)
        end = start if kind == 5 else end
    return text[:start] + piece + text[end:]
