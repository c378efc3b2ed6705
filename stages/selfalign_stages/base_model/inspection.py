"""Inspects a base model before anything is copied: lists it, checks it, and computes its digest.

Preflight inspects a model to refuse it early and to fix its digest. The import inspects it once more, since files may
have changed in between: hours can pass in a queue.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from selfalign_stages.base_model import checks, completeness, layers, selection, sources
from selfalign_stages.base_model.sources import Source, SourceFile
from selfalign_stages.contract.task import Leaf

LICENSE = re.compile(
    rb"""^license:[ \t]*(?P<quote>["']?)(?P<name>[A-Za-z0-9][A-Za-z0-9.+-]{0,63})(?P=quote)[ \t]*(?:#[^\n]*)?\r?$""",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Inspection:
    """A base model as it was inspected.

    Args:
        fitness: problems, warnings and configuration.
        model_files: the files that make up the model, with content ids; empty if there are problems.
        documents: licences and model card, with content ids; empty if there are problems.
        digest: the leaf digest, computed over `model_files`; meaningless if there are problems.
        small_files: contents by path of the files that were checked.
    """

    fitness: checks.Fitness
    model_files: tuple[SourceFile, ...]
    documents: tuple[SourceFile, ...]
    digest: str
    small_files: Mapping[str, bytes]

    @property
    def size_bytes(self) -> int:
        """Size of the model without its documents; nearly all of it is weights."""
        return sum(file.size for file in self.model_files)

    @property
    def context_length(self) -> int | None:
        """Longest sequence in tokens that the model's positions cover; None if config.json does not state it."""
        # n_positions is the name in configurations of the GPT-2 family.
        config = self.fitness.config
        lengths = (checks.positive(config.get(name)) for name in ("max_position_embeddings", "n_positions"))
        return next((length for length in lengths if length is not None), None)

    @property
    def license(self) -> str | None:
        """The `license` of the model card's YAML front matter, such as "apache-2.0"; None if it is not stated.

        Hubs allow one word there, from a list that resembles SPDX's; anything else, such as a list, counts as not
        stated, since the word ends up in labels, metrics and the card of the new model.
        """
        card = self.small_files.get(selection.README, b"").removeprefix(b"\xef\xbb\xbf")
        front_matter = re.match(rb"---[ \t]*\r?\n(.*?)\n---", card, re.DOTALL)
        match = LICENSE.search(front_matter.group(1)) if front_matter else None
        return match["name"].decode() if match else None


def inspect(source: Source, leaf: Leaf) -> Inspection:
    """Lists a source, reads and checks its small files, and computes the model's digest.

    A model with problems is not hashed: in a folder that would mean reading all its weights to refuse it anyway. Of the
    weights, only the names of their tensors are read, and only of a model without other problems.

    Args:
        source: opened for `leaf`.
        leaf: its URI, whose last part is the model's name.

    Raises:
        StageError: the source cannot be listed or read.
    """
    files = source.list_files()
    small_files = {
        file.path: source.read(file.path)
        for file in files
        if file.path in selection.CHECKED_FILES and not selection.is_too_large(file)
    }
    name = leaf.uri.rstrip("/").rpartition("/")[2]
    fitness = checks.check_files(files, small_files, name=name)
    if not fitness.problems and (problem := _incomplete(source, small_files, fitness)):
        fitness = dataclasses.replace(fitness, problems=(problem,))
    model_files = () if fitness.problems else tuple(source.with_content_ids(fitness.files.model_files))
    documents = () if fitness.problems else tuple(source.with_content_ids(fitness.files.documents))
    return Inspection(fitness, model_files, documents, sources.fingerprint(model_files), small_files)


def _incomplete(source: Source, small_files: Mapping[str, bytes], fitness: checks.Fitness) -> str | None:
    """Describes which tensors the model's files lack; for one file its header is read, and not the weights."""
    try:
        names = layers.tensor_names(source, small_files)
    except (ValueError, KeyError):
        return None  # malformed weights have messages of their own, in the import
    problem = completeness.problem(names, fitness.config)
    return f"{selection.INDEX if fitness.weight_map else selection.WEIGHTS}: {problem}" if problem else None
