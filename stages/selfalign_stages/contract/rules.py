"""Cross-field rules of a SelfAlignRun: their constants, predicates and message texts, each stated once. Pure.

A rule is enforced in up to three places, because each can be bypassed: by the API server as CEL (generated from
`selfalign_operator.api`), by the command line and the operator as Python (`selfalign_operator.manifest.cross_field`),
and by the stage process that would otherwise compute something wrong (`base_model.hub`, `tuning.batches`). CEL cannot
call Python, so the expressions differ; what they share is here, because three separate copies drift apart unnoticed.
`tests/operator/test_rules.py` fails if a CEL rule has no counterpart in Python.

Every message names its fields, since an API server reports a CEL rule at the object that holds them.
"""

import re

HUB_PREFIX = "hf://"
"""Scheme of base models on a Hugging Face hub: the only sources that have revisions."""
COMMIT_PATTERN = r"^[0-9a-f]{40}$"
"""A full Git commit id. Hubs take branches, tags and abbreviated ids as well, but those can move or become ambiguous,
and equal manifests would then mean different weights. Valid in Python's `re` and in RE2, which CEL's `matches` uses."""
ROW_FILE_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""Ends of the addresses of files with rows of one's own."""
SHARES_LIMIT = 1.000001
"""Bound on a sum of shares: 1, with room for rounding. 0.56 + 0.33 + 0.11 is above 1 in binary."""
EXTRA_SHARES_LIMIT = 0.999999
"""Bound on the sum of the shares of extraRows: below 1, since a share of 1 beside answers would be rows without end."""
KMS_ENCRYPTION = "aws:kms"
"""S3's `x-amz-server-side-encryption` value for keys in AWS KMS; all other kinds take no key id."""
LORA_FIELDS = ("rank", "alpha", "dropout", "targets")
"""Training fields without meaning for full fine-tuning."""

NEEDS_COMMIT = "hf:// needs revision, the 40 hexadecimal digits of a commit, because branches and tags move"
REVISION_NEEDS_HUB = "revision applies to hf:// only: remove it"
SHARES_ABOVE_ONE = "the shares of promptSources add up to more than 1: lower some, or remove a source"
ONE_PACK_SOURCE = "set exactly one of builtin, configMapRef and uri"
KMS_KEY_NEEDS_KMS = f"sseKmsKeyId applies to sse {KMS_ENCRYPTION} only: set sse to {KMS_ENCRYPTION}, or remove it"
EXTRA_SHARES_LEAVE_NOTHING = (
    "the shares of extraRows must add up to less than 1, since answers are the rest: lower some, or remove a file"
)
BATCH_NOT_DIVISIBLE = "globalBatchSize must be divisible by microBatchSize x nodes x gpusPerNode"
LORA_FIELDS_NEED_LORA = (
    f"{', '.join(LORA_FIELDS[:-1])} and {LORA_FIELDS[-1]} apply to method lora only: remove them, or set method to lora"
)
ATTEMPTS_NEED_CHANCE = (
    "attempts above 1 need a temperature above 0, because greedy decoding gives the same answer again: raise "
    "temperature, or remove attempts"
)
ATTEMPTS_OR_SAMPLES = (
    "attempts and samples exclude each other, because the answers that are generated again would have the majority: "
    "remove one of them"
)
THOUGHTS_NEED_THOUGHT = (
    "engraving.thoughts trains on the thoughts of selfAlign, which selfAlign.thought none leaves out: set thought to "
    "free or constrained, or thoughts to false"
)
QUANTIZATION_NEEDS_16_BITS = "quantization computes in 16 bits: set dtype to bfloat16, float16 or auto, or remove it"
A_TOKEN_FOR_EACH_SEQUENCE = (
    "arguments.maxBatchedTokens must not be below maxSequences, because each completion needs a token of every step"
)
SERVER_NEEDS_BASE = "format server needs base, the image with the inference server"
PROMOTE_TO_EQUALS_TAG = "promoteTo must differ from tag: a promoted image needs a tag of its own"
CLONED_NEEDS_CLONING = (
    "image.variant cloned needs stages.cloning.enabled, but cloning is disabled: enable it, or set variant to engraved"
)
EDIT_REJECTED = (
    "onSpecChange is Reject: fields that determine the artifacts cannot be edited; apply the run under another name"
)


def is_commit(revision: str | None) -> bool:
    """Returns whether a revision names one commit for good: a full commit id, not a branch or tag."""
    return re.fullmatch(COMMIT_PATTERN, revision or "") is not None


def row_file_problem(uri: str) -> str | None:
    """Returns what is wrong with the end of the address of a file with rows of one's own; None if it can be read."""
    if uri.endswith(ROW_FILE_SUFFIXES):
        return None
    known = ", ".join(ROW_FILE_SUFFIXES)
    return f"is neither JSON lines nor Parquet by its name: convert it, so that its name ends with one of {known}"


def batch_remainder(global_batch_size: int, *, micro_batch_size: int, processes: int) -> int:
    """Returns the rows of a global batch that no whole number of gradient accumulation passes would use; 0 is valid.

    Args:
        global_batch_size: rows per optimizer step, over all processes.
        micro_batch_size: rows per process and forward pass.
        processes: number of training processes, nodes x gpusPerNode (PyTorch's WORLD_SIZE).
    """
    return global_batch_size % (micro_batch_size * processes)
