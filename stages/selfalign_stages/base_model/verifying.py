"""Fetches a file of a base model and compares what arrived with the listing; a difference is fetched again.

Proxies answer with pages of their own, caches keep halves of files, and folders change while they are read. What is
imported trains for days, so that a file counts only if its bytes are those that its source names: by SHA-256 or Git
blob id from the hub, by SHA-256 in folders, by size and, where the ETag is one, by MD5 in S3.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts.checked import BLOCK, READS
from selfalign_stages.base_model import sources
from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import UNKNOWN_SIZE, SourceFile
from selfalign_stages.contract.exits import BadInput, Unavailable

PAGE_STARTS = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class Content:
    """What is in a local file.

    Attributes:
        size: bytes.
        sha256: hexadecimal.
        git_blob: id that Git gives to this content; "" unless it was asked for.
        md5: hexadecimal; "" unless it was asked for.
        is_page: whether it is a web page.
    """

    size: int
    sha256: str
    git_blob: str
    md5: str
    is_page: bool


def fetch(fetch_once: Callable[[str, Path], None], file: SourceFile, target: Path) -> Content:
    """Fetches a file until what arrived is what the listing names, READS times at most.

    Args:
        fetch_once: Source.fetch.
        file: the file as it is listed.
        target: file to create or replace; nobody else writes to it.

    Raises:
        BadInput: the same wrong bytes arrived each time: the source does not have the file that it lists.
        Unavailable: other wrong bytes arrived each time, a web page arrived, or an S3 object was replaced.
    """
    arrived: set[str] = set()
    for _ in range(READS):
        fetch_once(file.path, target)
        content = measure(target, file)
        if difference(file, content) is None:
            return content
        arrived.add(content.sha256)
    raise refusal(file, content, same=len(arrived) == 1)


def measure(path: Path, file: SourceFile) -> Content:
    """Measures a local file in one pass, with the digests that are needed to compare it with `file`."""
    size = path.stat().st_size
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if sources.is_git_blob(file.content_id) else None
    md5 = hashlib.md5(usedforsecurity=False) if file.md5 else None
    hashes: list[Any] = [one for one in (sha256, blob, md5) if one is not None]
    with path.open("rb") as stream:
        head = stream.read(BLOCK)
        block = head
        while block:
            for one in hashes:
                one.update(block)
            block = stream.read(BLOCK)
    return Content(
        size=size,
        sha256=sha256.hexdigest(),
        git_blob=blob.hexdigest() if blob else "",
        md5=md5.hexdigest() if md5 else "",
        is_page=head[:512].lstrip().lower().startswith(PAGE_STARTS),
    )


def difference(file: SourceFile, content: Content) -> str | None:
    """Describes how a content differs from what is listed; None if nothing that is listed contradicts it."""
    if file.size not in (UNKNOWN_SIZE, content.size):
        return f"has {content.size} bytes, its listing {file.size}"
    if sources.is_sha256(file.content_id) and content.sha256 != file.content_id:
        return f"arrived with sha256 {content.sha256}, its source has {file.content_id}"
    if sources.is_git_blob(file.content_id) and content.git_blob != file.content_id:
        return f"arrived with Git blob id {content.git_blob}, its source has {file.content_id}"
    if file.md5 and content.md5 != file.md5:
        return f"arrived with MD5 {content.md5}, its ETag is {file.md5}"
    return None


def refusal(file: SourceFile, content: Content, *, same: bool) -> BadInput | Unavailable:
    """The error of a file that never arrived as it is listed.

    Args:
        file: the file as it is listed.
        content: what arrived last.
        same: whether the same bytes arrived each time.
    """
    message = f"spec.baseModel.uri: {shown(file.path)} {difference(file, content)}"
    if content.is_page:
        return Unavailable(
            f"{message}: it is a web page; a login page or a proxy stands in the way of the model", reason="NotAHub"
        )
    # An ETag is no proof: a rerun lists the bucket anew, and finds out whether the object was replaced.
    if same and (sources.is_sha256(file.content_id) or sources.is_git_blob(file.content_id)):
        return BadInput(
            f"{message}, at each of {READS} attempts; it was damaged or changed there: upload it again",
            reason="BaseModelDamaged",
        )
    return Unavailable(
        f"{message}, at each of {READS} attempts; check the network, and whether someone writes to the model",
        reason="DownloadDamaged",
    )
