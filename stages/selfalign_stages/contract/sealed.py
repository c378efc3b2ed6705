"""JSON documents that carry their own checksum: artifact manifests and the file lists of checkpoints.

Those documents list the digests of everything else, but nothing lists theirs. A changed bit in a count, a metric or
the key of an input would pass for the truth. The checksum detects damage; it is no signature, since whoever can write
to the store can compute it.
"""

import json
from collections.abc import Mapping
from typing import Any

from selfalign_stages.contract.model import canonical_json, sha256_digest

FIELD = "checksum"
"""Name of the field, beside the document's own."""


def seal(document: Mapping[str, Any]) -> bytes:
    """Encodes a document as canonical JSON with its checksum, which is over the canonical JSON without it."""
    return canonical_json({**document, FIELD: sha256_digest(canonical_json(document))})


def unseal(data: bytes) -> dict[str, Any]:
    """Decodes a document and verifies its checksum.

    Returns:
        The document without the checksum.

    Raises:
        ValueError: it is no JSON object, or the checksum is missing or wrong; the message goes after the object's name.
    """
    try:
        document = json.loads(data)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    stated = document.pop(FIELD, None)
    try:
        actual = sha256_digest(canonical_json(document))
    except (ValueError, RecursionError) as error:  # NaN, or lone surrogates, which JSON can hold and UTF-8 cannot
        raise ValueError(f"has values that no document contains: {error}") from None
    if stated != actual:
        raise ValueError("does not have the checksum that it states, or states none")
    return document
