"""Looks at a base model before anything is copied; called by preflight and, once more, by the import itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from selfalign_stages.base_model import checks, selection, sources
from selfalign_stages.base_model.sources import Source, SourceFile
from selfalign_stages.contract.task import Leaf


@dataclass(frozen=True)
class Inspection:
    """The verdict, the needed files with their marks, and the leaf digest that follows from them."""

    verdict: checks.Fitness
    parts: tuple[SourceFile, ...]
    documents: tuple[SourceFile, ...]
    digest: str
    small: Mapping[str, bytes]

    @property
    def bytes(self) -> int:
        """Size of the model without its documents."""
        return sum(file.size for file in self.parts)

    @property
    def context_length(self) -> int | None:
        """Tokens that the model can attend to, as its config tells."""
        found: Any = self.verdict.config.get("max_position_embeddings") or self.verdict.config.get("n_positions")
        return found if isinstance(found, int) else None

    @property
    def license(self) -> str | None:
        """The `license` of the model card's front matter."""
        matter = re.match(rb"\A---\r?\n(.*?)\n---", self.small.get(selection.README, b""), re.DOTALL)
        found = re.search(rb"^license:[ \t]*(\S+)", matter.group(1), re.MULTILINE) if matter else None
        return found.group(1).decode(errors="replace").strip("'\"") if found else None


def inspect(source: Source, leaf: Leaf) -> Inspection:
    """Lists the source and reads its small files; weights are identified where the source can only tell by reading."""
    listing = source.listing()
    small = {file.path: source.read(file.path) for file in listing if file.path in selection.SMALL}
    verdict = checks.check_files(
        listing, small, name=urlsplit(leaf.uri).path.rstrip("/").rpartition("/")[2] or leaf.uri
    )
    parts = () if verdict.problems else tuple(source.identify(verdict.files.parts))
    documents = () if verdict.problems else tuple(source.identify(verdict.files.documents))
    return Inspection(verdict, parts, documents, sources.fingerprint(parts), small)
