"""Step train: fine-tunes the BASE model on answers without principles, exemplars or thoughts (paper section 3.3).

The same step engraves (stage 3) and clones (stage 4): the student is the base model both times.
"""

import json
import os
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Counts, Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.rows import Answer
from selfalign_stages.pack import parts
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import examples, models
from selfalign_stages.tuning.trainer import Curve, train

PROBES = 8
"""Training texts kept in the artifact for the merge step to compare adapter and merged weights on."""


def run(context: StepContext) -> Manifest:
    """Trains, with checkpoints in the store, and publishes adapter (or weights), tokenizer, template and loss curve."""
    settings = TrainParameters.model_validate(context.task.parameters)
    with context.stop.at_once():
        base = reading.download(context.store, _input(context, BASE_MODEL), context.scratch / "base")
        tokenizer = models.load_tokenizer(base)
        found, dropped = _examples(context, settings, tokenizer)
        if not found:
            raise BadInput(f"{context.task.id}: no row is left to train on; dropped: {dropped}", reason="NoRows")
        model = _adapted(base, settings)
    checkpoints = Checkpoints(context)
    curve = train(context, model, found, settings=settings, pad=_pad(tokenizer), checkpoints=checkpoints)
    folder = context.scratch / "artifact"
    model.save_pretrained(folder, max_shard_size=models.SHARD_BYTES)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    models.save_tokenizer(tokenizer, folder, assistant_name=settings.assistant_name)
    models.neutralise(folder)
    _save_records(folder, curve, found, settings=settings)
    rows = len(found) + sum(dropped.values())
    manifest = writing.publish(
        context,
        files={path.name: path for path in folder.iterdir()},
        counts=Counts(rows=rows, kept=len(found), rejected=dropped),
        metrics=curve.metrics(),
    )
    checkpoints.prune(keep=0)
    return manifest


def _examples(
    context: StepContext, settings: TrainParameters, tokenizer: Any
) -> tuple[list[examples.Example], dict[str, int]]:
    pack = parts.read(context.task)
    answers = list(reading.rows(context.store, _input(context, "answers"), Answer))
    pairs = examples.pairs(answers, pack, assistant_name=settings.assistant_name, repeats=settings.identity_repeats)

    def encode(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoded = tokenizer(text, return_offsets_mapping=True)
        return encoded["input_ids"], encoded["offset_mapping"]

    return examples.encode(
        pairs,
        encode,
        assistant_name=settings.assistant_name,
        eos_token=tokenizer.eos_token,
        max_length=settings.max_length,
        seed=context.task.seed,
    )


def _adapted(base: Path, settings: TrainParameters) -> Any:
    # One process on several GPUs would split every micro batch over them (DataParallel): another global batch size.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = models.load_model(base, dtype="bfloat16" if torch.cuda.is_available() else "float32")
    model.config.use_cache = False
    if settings.method == "full":
        return model
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise BadInput(f"training.targets {list(settings.targets)}: {error}", reason="UnknownTargets") from error


def _save_records(folder: Path, curve: Curve, found: list[examples.Example], *, settings: TrainParameters) -> None:
    (folder / "loss.jsonl").write_bytes(b"".join(canonical_json(point) + b"\n" for point in curve.points))
    (folder / "probes.json").write_text(json.dumps([list(example.input_ids) for example in found[:PROBES]]))
    (folder / "train.json").write_text(json.dumps({"method": settings.method, "steps": curve.steps}))


def _input(context: StepContext, name: str) -> Manifest:
    return reading.require_manifest(context.store, context.task.inputs[name])


def _pad(tokenizer: Any) -> int:
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)
