"""Step train: fine-tunes the BASE model on answers without principles and exemplars (paper section 3.3).

Thoughts are left out as in the paper, unless engraving is to teach them (`stages.engraving.thoughts`).

The same step engraves (stage 3) and clones (stage 4): the student is the base model both times, never the engraved
one, as in the paper (section 3.4): the engraved model's brevity is what cloning is to replace.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import BASE_MODEL
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.model import canonical_json
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import models, served_files, training_rows
from selfalign_stages.tuning.examples import Example
from selfalign_stages.tuning.loss_curve import LossCurve
from selfalign_stages.tuning.trainer import train

PROBES = 8
"""Training texts kept in the artifact, on which step merge compares adapter and merged weights. Few: every probe is a
forward pass on CPU, twice, and one shows a wrong merge."""


def run(context: StepContext) -> Manifest:
    """Trains, with checkpoints in the store, and publishes adapter (or weights), tokenizer, template and loss curve.

    Raises:
        BadInput: no row is left to train on or to validate with, `targets` names no layer, the batch sizes do not
            divide, or a loss became NaN or infinite.
        Interrupted: SIGTERM arrived; a checkpoint is saved and a rerun continues from it.
    """
    settings = TrainParameters.model_validate(context.task.parameters)
    with context.stop.at_once():
        base = reading.download(context.store, _input(context, BASE_MODEL), context.scratch / "base")
        tokenizer = models.load_tokenizer(base)
        rows = training_rows.read(context, settings, tokenizer)
        model = _trainable_model(base, settings, seed=context.task.seed)
    checkpoints = Checkpoints(context)
    curve = train(
        context,
        model,
        rows.training,
        settings=settings,
        pad=models.pad_id(tokenizer),
        checkpoints=checkpoints,
        validation=rows.validation,
    )
    folder = context.scratch / "artifact"
    model.save_pretrained(folder, max_shard_size=models.SHARD_BYTES)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    models.normalise_adapter(folder)
    served_files.copy(base, folder)
    served_files.write_template(tokenizer, folder, assistant_name=settings.assistant_name, thoughts=settings.thoughts)
    _save_records(folder, curve, rows.training, settings=settings)
    for path in folder.iterdir():
        path.chmod(0o644)
    manifest = writing.publish(
        context,
        files={path.name: path for path in folder.iterdir()},
        counts=rows.counts(),
        metrics=curve.metrics(),
    )
    # Only after publishing: until then a crash must be able to resume from them.
    checkpoints.prune(keep=0)
    return manifest


def _trainable_model(base: Path, settings: TrainParameters, *, seed: int) -> Any:
    """Loads the base model, with a fresh LoRA adapter unless all weights are trained."""
    # One process on several GPUs would split every micro batch over them (DataParallel): another global batch size.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch
    from peft import LoraConfig, get_peft_model

    # LoRA's A matrices are random: a resumed process must begin with the adapter that the first one began with.
    torch.manual_seed(seed)
    # Trained weights are float32 (peft keeps adapters so): AdamW's steps are mostly below half a unit in the last place
    # of bfloat16, and at a learning rate of 1e-5 only 4 % of the weights would move. Frozen ones, which only multiply,
    # may be bfloat16 on a GPU, where activations are bfloat16 either way; few CPU kernels are faster in it.
    frozen_in_16_bits = torch.cuda.is_available() and settings.method == "lora"
    model = models.load_model(base, dtype="bfloat16" if frozen_in_16_bits else "float32")
    model.config.use_cache = False  # the KV cache serves generation only, and conflicts with gradient checkpointing
    if settings.method == "full":
        return model
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if settings.targets is None else list(settings.targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
    _require_targets(model, settings.targets or ())
    return get_peft_model(model, config)


def _require_targets(model: Any, targets: Sequence[str]) -> None:
    """Refuses targets that the model lacks. peft is content if one of them exists: where a model fuses projections, as
    Phi-3 does, half of its layers would be left out without a word.

    Raises:
        BadInput: names the missing targets and the linear layers that exist (UnknownTargets).
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not model.get_output_embeddings()
    }
    missing = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in linear)]
    if missing:
        available = sorted({name.rpartition(".")[2] for name in linear})
        raise BadInput(
            f"training.targets: the base model has no linear layer {', '.join(missing)}; it has "
            f"{', '.join(available)}. Unset, targets are all of these",
            reason="UnknownTargets",
        )


def _save_records(folder: Path, curve: LossCurve, rows: list[Example], *, settings: TrainParameters) -> None:
    """Writes what later steps and users read besides the weights: loss curve, probes of step merge, method."""
    (folder / "loss.jsonl").write_bytes(b"".join(canonical_json(point) + b"\n" for point in curve.records()))
    (folder / "probes.json").write_text(json.dumps([list(example.input_ids) for example in rows[:PROBES]]))
    (folder / "train.json").write_text(json.dumps({"method": settings.method, "steps": curve.steps}))


def _input(context: StepContext, name: str) -> Manifest:
    return reading.require_manifest(context.store, context.task.inputs[name])
