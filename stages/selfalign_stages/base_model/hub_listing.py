"""Parses the listing of a model repository as hubs, mirrors and caches of hubs answer it. Pure.

The library's own model of it has some forty fields and fails if any of them has another form; four are needed here.
"""

from typing import Any

from selfalign_stages.base_model.quoting import shown
from selfalign_stages.base_model.sources import UNKNOWN_SIZE, SourceFile, is_git_blob, is_sha256
from selfalign_stages.contract import strict_json


def parse(answer: bytes, *, commit: str) -> list[SourceFile]:
    """Parses the answer to GET /api/models/NAME/revision/COMMIT?blobs=true.

    Args:
        answer: body of the answer.
        commit: commit that was asked for.

    Returns:
        All files in path order: large ones with their SHA-256 (Git LFS), small ones with their Git blob id. Some
        mirrors leave out ids or sizes, which then are unknown.

    Raises:
        ValueError: it is no listing of that commit.
    """
    info = strict_json.loads(answer)
    if not isinstance(info, dict) or not isinstance(info.get("siblings"), list):
        raise ValueError("has no list `siblings` of files")
    if info.get("sha") not in (None, commit):
        raise ValueError(f"is of commit {shown(info['sha'])}")
    return sorted((_source_file(entry) for entry in info["siblings"]), key=lambda file: file.path)


def _source_file(entry: Any) -> SourceFile:
    if not isinstance(entry, dict) or not isinstance(entry.get("rfilename"), str):
        raise ValueError(f"has a file without rfilename: {shown(entry)}")
    path, lfs = entry["rfilename"], entry.get("lfs")
    if lfs is None:
        return SourceFile(path, _size(path, entry), _known(entry.get("blobId"), is_git_blob))
    if not isinstance(lfs, dict):
        raise ValueError(f"has a file {shown(path)} with lfs {shown(lfs)}")
    # The blob id of a large file would be that of its Git LFS pointer.
    size = _size(path, lfs)
    return SourceFile(path, size if size != UNKNOWN_SIZE else _size(path, entry), _known(lfs.get("sha256"), is_sha256))


def _size(path: str, entry: dict[str, Any]) -> int:
    size = entry.get("size")
    if size is None:
        return UNKNOWN_SIZE
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"has a file {shown(path)} with size {shown(size)}")
    return size


def _known(content_id: Any, valid: Any) -> str:
    text = content_id.lower() if isinstance(content_id, str) else ""
    return text if valid(text) else ""
