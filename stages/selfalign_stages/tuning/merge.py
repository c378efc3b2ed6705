"""Step merge: adds the adapter to the base weights and proves that the merged model says the same.

The sum is made in float32 and cast once. The adapter was trained against these very base weights; merging into
quantised ones is what the paper's authors found to degenerate.
"""

import json
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import MergeParameters
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import models

CARRIED = ("tokenizer", "special_tokens", "chat_template", "generation_config", "vocab", "merges", "added_tokens")


def run(context: StepContext) -> Manifest:
    """Publishes a complete model folder: sharded safetensors, config, tokenizer, template, generation config."""
    settings = MergeParameters.model_validate(context.task.parameters)
    base, tuned = (
        reading.download(
            context.store, reading.require_manifest(context.store, context.task.inputs[name]), context.scratch / name
        )
        for name in (BASE_MODEL, "adapter")
    )
    context.progress.begin(3, unit="steps")
    probes = json.loads((tuned / "probes.json").read_text())
    model, before = _merged(base, tuned, probes)
    context.progress.advance()
    import torch

    model = model.to(getattr(torch, settings.dtype))
    difference = largest_difference(before, logprobs(model, probes))
    if not difference <= settings.tolerance:
        raise BadInput(
            f"{context.task.id}: merged weights in {settings.dtype} differ from the adapter by {difference:.3f} in "
            f"log-probability, above merge.tolerance {settings.tolerance}; set merge.dtype to float32",
            reason="MergeMismatch",
        )
    context.progress.advance()
    folder = context.scratch / "artifact"
    model.config.use_cache = True
    model.save_pretrained(folder, max_shard_size=models.SHARD_BYTES)
    for path in tuned.iterdir():
        if path.name.startswith(CARRIED):
            (folder / path.name).write_bytes(path.read_bytes())
    models.neutralise(folder)
    context.progress.advance()
    return writing.publish(
        context,
        files={path.name: path for path in folder.iterdir()},
        metrics={"mergeDifference": round(difference, 6), "dtype": settings.dtype},
    )


def _merged(base: Path, tuned: Path, probes: list[list[int]]) -> tuple[Any, list[list[float]]]:
    """The merged model in float32 and the log-probabilities that base plus adapter gave before."""
    if not (tuned / "adapter_config.json").is_file():
        model = models.load_model(tuned, dtype="float32")
        return model, logprobs(model, probes)
    from peft import PeftModel

    model = PeftModel.from_pretrained(models.load_model(base, dtype="float32"), str(tuned))
    before = logprobs(model, probes)
    return model.merge_and_unload(), before


def logprobs(model: Any, probes: list[list[int]]) -> list[list[float]]:
    """Natural log-probability of every token after the first, for each probe."""
    import torch

    model.eval()
    found = []
    with torch.no_grad():
        for ids in probes:
            batch = torch.tensor([ids])
            scores = torch.log_softmax(model(input_ids=batch).logits[0, :-1].float(), dim=-1)
            found.append(scores.gather(1, batch[0, 1:, None])[:, 0].tolist())
    return found


def largest_difference(first: list[list[float]], second: list[list[float]]) -> float:
    """Largest absolute difference, position by position."""
    return max(abs(a - b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))
