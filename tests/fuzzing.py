"""Mutations of good bytes, for tests of parsers."""

from random import Random

INTERESTING = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"1e999",
    b"NaN", b"-Infinity", b"null", b"true", b"\r\n", b"\xe2\x80\xa8", b'"', b"\\", b"\x1b[31m", b"\xe2\x80\xae", b"{}",
)  # fmt: skip


def mutated(good: bytes, random: Random) -> bytes:
    """Good bytes after one to four changes: a flipped bit, a cut, a repetition, a swap, or something odd put in."""
    data = bytearray(good)
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((1, 2, 8, 64)))
        change = random.randrange(6)
        if change == 0 and start < len(data):
            data[start] ^= 1 << random.randrange(8)
        elif change == 1:
            del data[start:end]
        elif change == 2:
            data[start:start] = data[start:end] * random.choice((1, 2, 50))
        elif change == 3:
            data[start:end] = random.choice(INTERESTING)
        elif change == 4:
            data[start:start] = random.choice(INTERESTING)
        else:
            data[start:end] = random.randbytes(end - start)
    return bytes(data)
