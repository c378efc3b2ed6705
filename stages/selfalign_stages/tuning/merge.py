"""Step merge: adds the adapter to the base weights and checks the saved model against base plus adapter.

What is checked is the folder that ships, loaded again: a comparison in memory would miss everything that saving and
loading can change. Rounding to 16 bits changes a model too, so the bound is what the base model itself loses by the
same cast on the same texts.
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
from selfalign_stages.tuning import divergence, models, served_files, weights

FLOOR = 1e-4
"""Divergence, in nats per token, that is always accepted: sums in another order, and casts that the base model survives
without a loss that could be measured. A wrong merge is above 0.01."""


def run(context: StepContext) -> Manifest:
    """Publishes a complete model folder: the base model's files with tuned weights, template and generation config.

    Metrics: mergeDifference, the mean divergence of the saved model from base plus adapter, and baseDifference, that of
    the base model in the same dtype from itself in float32; nats per token.

    Raises:
        BadInput: the saved model lacks weights, or differs by more than the tolerance (reason MergeMismatch).
    """
    settings = MergeParameters.model_validate(context.task.parameters)
    base, tuned = (_download(context, name) for name in (BASE_MODEL, "adapter"))
    context.progress.begin(4, unit="steps")
    probes = json.loads((tuned / "probes.json").read_text())
    changes, of_base, of_tuned = _references(base, tuned, probes)
    context.progress.advance()
    folder = context.scratch / "artifact"
    folder.mkdir(exist_ok=True)
    served_files.copy(base, folder)
    for name in (served_files.CHAT_TEMPLATE, served_files.GENERATION_CONFIG):
        (folder / name).write_bytes((tuned / name).read_bytes())
    eos = json.loads((tuned / served_files.GENERATION_CONFIG).read_bytes())["eos_token_id"]
    served_files.set_dtype(folder, dtype=settings.dtype, eos=eos)
    weights.write(base, folder, changes=changes, dtype=settings.dtype)
    del changes  # with it the model that the differences come from
    context.progress.advance()
    base_difference = 0.0
    if settings.dtype != "float32":
        base_difference = divergence.mean(of_base, models.load_model(base, dtype=settings.dtype), probes)
    context.progress.advance()
    saved = models.load_model(folder, dtype=settings.dtype)
    difference = divergence.mean(of_tuned, saved, probes)
    check(difference, base_difference, settings, step=context.task.id)
    context.progress.advance()
    for path in folder.iterdir():
        path.chmod(0o644)
    return writing.publish(
        context,
        files={path.name: path for path in folder.iterdir()},
        metrics={
            "mergeDifference": round(difference, 6),
            "baseDifference": round(base_difference, 6),
            "dtype": settings.dtype,
        },
    )


def check(difference: float, base_difference: float, settings: MergeParameters, *, step: str) -> None:
    """Refuses a saved model that is too far from base plus adapter.

    Args:
        difference: mean divergence of the saved model from base plus adapter, nats per token.
        base_difference: the same of the base model, cast to the same dtype.
        settings: the tolerance, a multiple of `base_difference`.
        step: id of the step, for the message.

    Raises:
        BadInput: reason MergeMismatch.
    """
    allowed = settings.tolerance * base_difference + FLOOR
    # Not "difference > allowed": NaN, from an overflow in float16, compares false with everything.
    if not difference <= allowed:
        raise BadInput(
            f"{step}: the merged weights in {settings.dtype} differ from base plus adapter by {difference:.2g} nats "
            f"per token, the base model in {settings.dtype} from itself by {base_difference:.2g}; merge.tolerance "
            f"{settings.tolerance:g} allows {allowed:.2g}. Set merge.dtype to float32; a difference that remains then "
            "is a defect: report it with the base model's name",
            reason="MergeMismatch",
        )


def _references(
    base: Path, tuned: Path, probes: list[list[int]]
) -> tuple[dict[str, weights.Change], list[divergence.Reference], list[divergence.Reference]]:
    """Returns the changes to the base weights, and the float32 distributions of the base and of the tuned model."""
    model: Any = models.load_model(base, dtype="float32")
    of_base = divergence.references(model, probes)
    if not (tuned / "adapter_config.json").is_file():
        del model
        of_tuned = divergence.references(models.load_model(tuned, dtype="float32"), probes)
        return weights.of_full_training(tuned, base), of_base, of_tuned
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, str(tuned))
    of_tuned = divergence.references(model, probes)
    return weights.of_adapter(model, weights.tensor_names(base)), of_base, of_tuned


def _download(context: StepContext, name: str) -> Path:
    manifest = reading.require_manifest(context.store, context.task.inputs[name])
    return reading.download(context.store, manifest, context.scratch / name)
