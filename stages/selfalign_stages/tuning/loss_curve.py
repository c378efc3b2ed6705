"""The course of a training: its losses by optimizer step, as the artifact and the manifest's metrics have them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from selfalign_stages.contract.exits import BadInput

VALIDATION_LOSS = "validationLoss"
"""Name of the loss on held-out rows in progress, in checkpoints and in the artifact's loss.jsonl."""


@dataclass(frozen=True)
class LossCurve:
    """The course of a training.

    Attributes:
        points: one per optimizer step: `step` from 1, `loss` (mean over the labelled tokens of the global batch),
            `learningRate`.
        steps: optimizer steps in all, those before a resume included.
        tokens: tokens of all examples in training order, padding not counted.
        seconds: duration of this process's part of the training, validation not counted.
        padding: fraction of padded positions, 0 to 1.
        validation: mean loss over the labelled tokens of all held-out rows by optimizer step, 0 for before the first;
            empty without such rows.
        validation_rows: number of those rows.
    """

    points: list[dict[str, float]]
    steps: int
    tokens: int
    seconds: float
    padding: float
    validation: Mapping[int, float] = field(default_factory=dict)
    validation_rows: int = 0

    def metrics(self) -> dict[str, float | int | str | bool]:
        """Returns the manifest's metrics; the last loss is the mean of the last tenth of the steps."""
        losses = [point["loss"] for point in self.points]
        tail = losses[-max(1, len(losses) // 10) :]
        measured: dict[str, float | int | str | bool] = {
            "steps": self.steps,
            "firstLoss": round(losses[0], 4),
            "lastLoss": round(sum(tail) / len(tail), 4),
            "tokensPerSecond": round(self.tokens / max(self.seconds, 1e-9), 1),
            "paddingShare": round(self.padding, 4),
        }
        if self.validation:
            # Not a mean of the last ones as above: all rows are measured each time, so that the values are not noisy.
            measured |= {
                "firstValidationLoss": round(self.validation[min(self.validation)], 4),
                "lastValidationLoss": round(self.validation[max(self.validation)], 4),
                "validationRows": self.validation_rows,
            }
        return measured

    def records(self) -> list[dict[str, float]]:
        """Returns the lines of loss.jsonl: one per step, step 0 among them if there are held-out rows."""
        by_step: dict[int, dict[str, float]] = {int(point["step"]): point for point in self.points}
        return [
            by_step.get(step, {"step": step})
            | ({VALIDATION_LOSS: self.validation[step]} if step in self.validation else {})
            for step in sorted({*by_step, *self.validation})
        ]


def training_losses(history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Selects `LossCurve.points` from the log of transformers' Trainer, which is part of every checkpoint."""
    return [
        {"step": entry["step"], "loss": entry["loss"], "learningRate": entry["learning_rate"]}
        for entry in history
        if "loss" in entry
    ]


def validation_losses(history: Sequence[Mapping[str, float]]) -> dict[int, float]:
    """Selects `LossCurve.validation` from the same log, to which the callback of `validation` adds it."""
    return {int(entry["step"]): entry[VALIDATION_LOSS] for entry in history if VALIDATION_LOSS in entry}


def require_finite(loss: float, *, name: str, step: int, id_: str) -> None:
    """Ends a training that has diverged: it would only spend accelerator hours.

    Args:
        loss: a loss.
        name: its name in the message.
        step: optimizer step.
        id_: id of the train step.

    Raises:
        BadInput: the loss is NaN or infinite (LossNotFinite).
    """
    if not math.isfinite(loss):
        raise BadInput(
            f"{id_}: the {name} is {loss} at step {step}; lower training.learningRate or raise training.warmupRatio",
            reason="LossNotFinite",
        )
