"""The layers that LoRA can adapt, by the names of a base model's tensors, without loading it."""

import re
from collections.abc import Iterable, Mapping, Sequence

from selfalign_stages.base_model import safetensors_header, selection
from selfalign_stages.base_model.safetensors_header import LENGTH_BYTES, MAX_HEADER_BYTES
from selfalign_stages.base_model.sources import Source
from selfalign_stages.contract import strict_json

_LAYER = re.compile(r"(.*\.\d+\..*)\.weight")
"""A weight of a numbered layer; embeddings and the output layer have no number."""
_NO_MATRIX = re.compile(r"norm|^ln_", re.IGNORECASE)


def tensor_names(source: Source, small_files: Mapping[str, bytes]) -> list[str]:
    """Returns the names of a model's tensors, from its index or from the start of its only file.

    Args:
        source: of the model.
        small_files: contents by path; the index is among them if the model has one.

    Raises:
        StageError: the source cannot be read.
        ValueError: index or header are malformed.
    """
    if selection.INDEX in small_files:
        return list(strict_json.loads(small_files[selection.INDEX])["weight_map"])
    first = source.start(selection.WEIGHTS, LENGTH_BYTES)
    length = min(int.from_bytes(first, "little"), MAX_HEADER_BYTES)
    header = source.start(selection.WEIGHTS, LENGTH_BYTES + length)
    return list(safetensors_header.parse_header(header[LENGTH_BYTES:]))


def matrices(names: Iterable[str]) -> list[str]:
    """Returns the paths of the modules in numbered layers whose weights may be matrices."""
    found = [match[1] for name in names if (match := _LAYER.fullmatch(name))]
    return [module for module in found if not _NO_MATRIX.search(module.rpartition(".")[2])]


def missing(targets: Sequence[str], modules: Sequence[str]) -> list[str]:
    """Returns the targets that no module has as its name, or as the end of its path."""
    return [target for target in targets if not any(f".{module}".endswith(f".{target}") for module in modules)]


def kinds(modules: Iterable[str]) -> list[str]:
    """Returns the last parts of module paths, each once: what a target is usually written as."""
    return sorted({module.rpartition(".")[2] for module in modules})
