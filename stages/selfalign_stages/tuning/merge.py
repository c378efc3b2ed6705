"""Step merge: adds the adapter to the base weights and checks that the merged model computes the same.

The sum W + (alpha / r) B A is computed in float32 and cast once at the end: in bfloat16, with 8 significant bits, the
product would be rounded before the sum is rounded once more. The base is the unquantised one that the adapter was
trained on; the paper's authors report that merging into 4-bit weights degenerates (model card of Dromedary-2). The
cast can still change the model, so the difference is measured on training texts and bounded.
"""

import json
import math
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import MergeParameters
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import models

COPIED_PREFIXES = (
    "tokenizer",
    "special_tokens",
    "chat_template",
    "generation_config",
    "vocab",
    "merges",
    "added_tokens",
)
"""Files of the tuned artifact that are copied to the merged model, by the start of their names."""


def run(context: StepContext) -> Manifest:
    """Publishes a complete model folder: sharded safetensors, config, tokenizer, template and generation config.

    Raises:
        BadInput: merged weights and adapter differ by more than the tolerance (reason MergeMismatch).
    """
    settings = MergeParameters.model_validate(context.task.parameters)
    base, tuned = (_download(context, name) for name in (BASE_MODEL, "adapter"))
    context.progress.begin(3, unit="steps")
    probes = json.loads((tuned / "probes.json").read_text())
    model, before = _merged(base, tuned, probes)
    context.progress.advance()
    import torch

    model = model.to(getattr(torch, settings.dtype))
    difference = largest_difference(before, logprobs(model, probes))
    # Not "difference > tolerance": NaN, from an overflow in float16, compares false with everything.
    if not difference <= settings.tolerance:
        raise BadInput(
            f"{context.task.id}: merged weights in {settings.dtype} differ from the adapter by {difference:.3f} in "
            f"log-probability, above merge.tolerance {settings.tolerance}; set merge.dtype to float32",
            reason="MergeMismatch",
        )
    context.progress.advance()
    folder = context.scratch / "artifact"
    model.config.use_cache = True  # training turned the KV cache off; a served model needs it
    model.save_pretrained(folder, max_shard_size=models.SHARD_BYTES)
    for path in tuned.iterdir():
        if path.name.startswith(COPIED_PREFIXES):
            (folder / path.name).write_bytes(path.read_bytes())
    models.normalise_files(folder)
    context.progress.advance()
    return writing.publish(
        context,
        files={path.name: path for path in folder.iterdir()},
        metrics={"mergeDifference": round(difference, 6), "dtype": settings.dtype},
    )


def logprobs(model: Any, probes: list[list[int]]) -> list[list[float]]:
    """Computes the log-probability of every token after the first.

    Args:
        model: a causal language model.
        probes: token ids of P texts, of lengths T_1 to T_P.

    Returns:
        Natural log-probabilities: P lists of lengths T_1 - 1 to T_P - 1.
    """
    import torch

    model.eval()  # dropout would differ between two calls
    results = []
    with torch.no_grad():
        for ids in probes:
            batch = torch.tensor([ids])  # (1, T)
            logits = model(input_ids=batch).logits[0, :-1]  # (1, T, vocabulary) -> (T - 1, vocabulary)
            # In float32 whatever the model's dtype: the softmax sums over the whole vocabulary.
            scores = torch.log_softmax(logits.float(), dim=-1)
            # The logits at t score the token at t + 1: (T - 1, vocabulary) -> (T - 1,)
            results.append(scores.gather(1, batch[0, 1:, None])[:, 0].tolist())
    return results


def largest_difference(first: list[list[float]], second: list[list[float]]) -> float:
    """Returns the largest absolute difference, position by position; NaN if there is one at any position."""
    differences = [abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]
    # max alone would skip a NaN that is not first, because every comparison with it is false
    return max(differences, key=lambda difference: (math.isnan(difference), difference))


def _download(context: StepContext, name: str) -> Path:
    manifest = reading.require_manifest(context.store, context.task.inputs[name])
    return reading.download(context.store, manifest, context.scratch / name)


def _merged(base: Path, tuned: Path, probes: list[list[int]]) -> tuple[Any, list[list[float]]]:
    """Returns the merged model in float32, and the log-probabilities of base plus adapter before merging.

    A fully fine-tuned model has no adapter: it is its own merged model, and only the cast is checked.
    """
    if not (tuned / "adapter_config.json").is_file():
        model = models.load_model(tuned, dtype="float32")
        return model, logprobs(model, probes)
    from peft import PeftModel

    model = PeftModel.from_pretrained(models.load_model(base, dtype="float32"), str(tuned))
    before = logprobs(model, probes)
    return model.merge_and_unload(), before
