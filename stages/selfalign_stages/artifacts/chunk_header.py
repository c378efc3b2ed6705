"""The checksum with which a chunk begins.

A chunk counts from the moment at which it is put, long before a manifest lists its digest: until then it vouches for
itself. Its first bytes are a skippable frame (RFC 8878, section 3.1.2), which every zstd decoder ignores, with a
SHA-256 over the rest and over what the chunk belongs to. A chunk under another name, of another artifact, or made from
inputs that were replaced since, does not pass.
"""

import hashlib
import struct

MAGIC = 0x184D2A5C
"""One of the sixteen magic numbers of skippable frames."""
FRAME = struct.Struct("<II32s")
"""Magic number, bytes that follow, SHA-256."""
DIGEST_BYTES = 32


def add(payload: bytes, *, binding: bytes) -> bytes:
    """Prepends the header.

    Args:
        payload: a zstd frame.
        binding: what the chunk belongs to, as canonical JSON.
    """
    return FRAME.pack(MAGIC, DIGEST_BYTES, _digest(payload, binding)) + payload


def problem(data: bytes, *, binding: bytes) -> str | None:
    """Describes why stored bytes are not the chunk that `binding` names; None if they are."""
    payload = strip(data)
    if len(payload) == len(data):
        return "has no header with a checksum"
    if FRAME.unpack_from(data)[2] != _digest(payload, binding):
        return "does not have the checksum with which it was put, or was made from other inputs"
    return None


def strip(data: bytes) -> bytes:
    """Returns the bytes after the header; all of them if there is none."""
    if len(data) >= FRAME.size and FRAME.unpack_from(data)[:2] == (MAGIC, DIGEST_BYTES):
        return data[FRAME.size :]
    return data


def _digest(payload: bytes, binding: bytes) -> bytes:
    # The length separates the two parts: no byte can move from one to the other.
    return hashlib.sha256(len(binding).to_bytes(8, "little") + binding + payload).digest()
