"""Selects the files of a base model that a run needs; all others are neither read nor downloaded.

Repositories on the Hub hold the same weights in several formats, beside code, logs and images. The selection is an
allowlist: pickles and Python code stay behind even where nobody has thought of their name yet.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfalign_stages.base_model.sources import SourceFile
from selfalign_stages.contract import strict_json

# Names that Transformers' save_pretrained writes; INDEX exists only for weights in several shards.
CONFIG, INDEX, WEIGHTS, README = "config.json", "model.safetensors.index.json", "model.safetensors", "README.md"
TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
CHECKED_FILES = frozenset({CONFIG, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, INDEX, README})
"""Small files whose content is checked before anything is imported."""
MODEL_FILES = CHECKED_FILES - {README, INDEX} | {
    "generation_config.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
}
"""Files beside the weights which decide what the model computes; the last five belong to slow (Python) tokenizers."""
LARGEST_TOKENIZER, LARGEST_OTHER = 64 << 20, 10 << 20
"""Bytes of tokenizer.json and of any other file but weights. They are read into memory, and the largest that are
published have 40 and 9 MiB. A larger one is garbage, such as a sparse file, which would take an hour to hash."""
DOCUMENT = re.compile(r"(LICEN[CS]E|NOTICE|USE_POLICY)[^/]*|README\.md", re.IGNORECASE)
"""Names of licences and model cards, which a redistributed model has to include."""


@dataclass(frozen=True)
class Selection:
    """The files of a base model to import.

    Args:
        model_files: weights, configuration and tokenizer. They make up the digest on which the run's keys depend.
        documents: licences and model card. They are imported but not part of the digest: a corrected model card does
            not retrain anything.
    """

    model_files: tuple[SourceFile, ...]
    documents: tuple[SourceFile, ...]


def is_model_name(name: str) -> bool:
    """Whether a file of this name is part of the model wherever it is selected: all but documents."""
    return name in MODEL_FILES or name == INDEX or name.endswith(".safetensors")


def is_document(name: str) -> bool:
    """Whether a file of this name is imported as a licence or model card, without being part of the digest."""
    # A shard may have any name that its index gives it, such as LICENSE.safetensors.
    return DOCUMENT.fullmatch(name) is not None and not is_model_name(name)


def is_too_large(file: SourceFile) -> bool:
    """Whether a file that would be imported, but is no weights, has a size that none of its kind has."""
    if file.path.endswith(".safetensors") or not (is_model_name(file.path) or is_document(file.path)):
        return False
    return file.size > (LARGEST_TOKENIZER if file.path == TOKENIZER else LARGEST_OTHER)


def select(files: Sequence[SourceFile], *, weight_map: Mapping[str, str]) -> Selection:
    """Selects from all files of a model.

    Args:
        files: the source's listing.
        weight_map: tensor names to shards, from the index. Its shards are the weights; where it is empty, the weights
            are model.safetensors.
    """
    names = MODEL_FILES | (set(weight_map.values()) | {INDEX} if weight_map else {WEIGHTS})
    return Selection(
        model_files=tuple(file for file in files if file.path in names),
        documents=tuple(file for file in files if is_document(file.path)),
    )


def parse_weight_map(index: bytes | None) -> dict[str, str]:
    """Returns the shard of every tensor; empty where there is no index.

    Args:
        index: content of model.safetensors.index.json, or None.

    Raises:
        ValueError: the index is malformed; the message describes how and goes after the file's name.
    """
    if index is None:
        return {}
    loaded = strict_json.loads(index)
    shards = loaded.get("weight_map") if isinstance(loaded, dict) else None
    # An empty map would select no weights at all and pass every check of them.
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise ValueError("has no weight_map of tensor names to shards")
    return shards
