"""Defines the interface through which base models are read, whatever place they come from, and their digest.

A base model enters a run's keys by the digest of its files alone, not by its address: a copy of a model on another
machine or in another bucket reuses the finished steps, and a changed file invalidates them. A source therefore
names the content of every file. It does so without reading large files where the place records a SHA-256 (the hub);
a folder is hashed; S3 records only ETags, so that a model has one digest in S3 and another everywhere else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from selfalign_stages.contract.model import canonical_json, sha256_digest

UNKNOWN_SIZE = -1
_SHA256, _GIT_BLOB, _MD5 = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class SourceFile:
    """One file of a base model.

    Args:
        path: relative to the model's folder, with forward slashes.
        size: bytes; UNKNOWN_SIZE where the listing does not state it.
        content_id: identifies the content: a SHA-256 in hexadecimal, else an S3 ETag or a Git blob id. Empty while
            it is unknown.
        md5: the content's MD5 in hexadecimal, where the place is known to record one; no part of the digest.
    """

    path: str
    size: int
    content_id: str = ""
    md5: str = ""


class Source(Protocol):
    """The files of one base model. All methods raise StageError for what the user can correct or a retry may solve."""

    def list_files(self) -> list[SourceFile]:
        """Lists all files in path order, without reading them; sizes and content ids may be unknown."""

    def with_content_ids(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Returns `files` in their order, each with size and `content_id`; reads those whose place records none."""

    def read(self, path: str) -> bytes:
        """Returns the content of a small file, compared with the listing as far as that is possible."""

    def start(self, path: str, length: int) -> bytes:
        """Returns the first `length` bytes of a file, fewer if it is shorter; the rest is not transferred."""

    def fetch(self, path: str, target: Path) -> None:
        """Creates or replaces `target` with a copy of the file that nobody else writes to; the caller verifies it."""


def fingerprint(files: Sequence[SourceFile]) -> str:
    """Returns the leaf digest of a base model, on which the keys of all steps depend.

    It covers path, size and content id of every file in `files`, in any order. A change of the formula would
    invalidate every finished step of every user.
    """
    # Lists without field names: attributes of SourceFile can be renamed.
    rows = sorted([file.path, file.size, file.content_id] for file in files)
    return sha256_digest(canonical_json(rows))


def is_sha256(content_id: str) -> bool:
    """Whether a content id is a SHA-256, which can be compared with downloaded bytes."""
    return _SHA256.fullmatch(content_id) is not None


def is_git_blob(content_id: str) -> bool:
    """Whether a content id is Git's id of a blob: a SHA-1 of "blob SIZE NUL" and the content (gitformat)."""
    return _GIT_BLOB.fullmatch(content_id) is not None


def is_md5(content_id: str) -> bool:
    """Whether an ETag has the form of an MD5; those of objects that were uploaded in parts end in a hyphen and number.

    Objects that KMS or a client's key encrypts have ETags of this form too (S3 API reference, "Object"), which are not
    the content's MD5.
    """
    return _MD5.fullmatch(content_id) is not None
