"""The one pydantic configuration of all values that cross a process or an API boundary.

Field names are camelCase outside and snake_case inside, so that JSON and YAML read like any Kubernetes object. Unknown
fields are errors: a misspelt field that is ignored would run with a default for hours before anyone notices.
"""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Immutable base class: camelCase aliases, no unknown fields, no NaN or infinity (JSON has neither)."""

    # populate_by_name: Python code passes snake_case names, JSON has the camelCase aliases.
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    def to_dict(self) -> dict[str, Any]:
        """The fields under their camelCase names, ready for JSON; fields that are None are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def canonical_json(value: Any) -> bytes:
    """Encodes equal JSON values as equal bytes: keys sorted, no blanks, UTF-8.

    This is the idea of RFC 8785, not its letter: keys are sorted by code point and floats are written as Python writes
    them. Both ends are Python, and keys must stay stable across releases, so neither may change.

    Raises:
        ValueError: the value contains NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_digest(data: bytes) -> str:
    """Content digest of `data` as OCI writes it: `sha256:` and 64 hexadecimal digits (image-spec, descriptor)."""
    return f"sha256:{sha256_hex(data)}"
