"""The one pydantic configuration of every value that crosses a process or an API boundary."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Frozen, strict about unknown fields, camelCase outside and snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready camelCase fields, those that are None left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def canonical_json(value: Any) -> bytes:
    """One byte string per JSON value: sorted keys, no blanks, UTF-8 (the idea of RFC 8785)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_digest(data: bytes) -> str:
    """Content digest of `data` as OCI writes it: `sha256:` and 64 hexadecimal digits (image-spec, descriptor)."""
    return f"sha256:{sha256_hex(data)}"
