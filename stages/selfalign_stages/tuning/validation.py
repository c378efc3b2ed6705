"""Measures the loss on held-out rows during a training, without a trace in the training.

transformers' Trainer has an evaluation of its own, which does not fit: it averages the means of batches, so that a
token of a short answer weighs more than one of a long answer; its data loader draws from the process's random state,
so that the dropout of all later steps, and with it the weights, would depend on whether somebody looks; and a resumed
training would measure at other steps. This loop draws nothing, and its values are in the Trainer's log, which is part
of every checkpoint.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import batches, loss_curve
from selfalign_stages.tuning.examples import IGNORED, Example
from selfalign_stages.tuning.loss_curve import VALIDATION_LOSS

if TYPE_CHECKING:
    import torch


class Validation:
    """The mean loss over the labelled tokens of held-out rows.

    Args:
        examples: the held-out rows.
        micro_batch: rows per forward pass.
        pad: token id of the padding.
        loss: computes the mean loss over the labelled tokens of a batch, as in training.

    Attributes:
        seconds: time that all measurements took.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        micro_batch: int,
        pad: int,
        loss: "Callable[[Any, dict[str, torch.Tensor]], torch.Tensor]",
    ) -> None:
        # By length, because padding costs as much as text; nothing else depends on the order.
        rows = sorted(batches.rows(examples), key=lambda row: len(row["input_ids"]))
        self._batches = [
            batches.collate(rows[start : start + micro_batch], pad=pad) for start in range(0, len(rows), micro_batch)
        ]
        self._loss = loss
        self.seconds = 0.0

    def measure(self, model: Any, *, give_up: Callable[[], bool] = lambda: False) -> float | None:
        """Computes the loss without dropout.

        Args:
            model: the model in training; it is left as it was.
            give_up: asked between two batches.

        Returns:
            Nats per token; None if it gave up.
        """
        import torch

        start, training = time.monotonic(), model.training
        total, tokens = 0.0, 0
        model.eval()
        try:
            with torch.no_grad():
                for batch in self._batches:
                    if give_up():
                        return None
                    # the first label is never predicted
                    labelled = int((batch["labels"][:, 1:] != IGNORED).sum())
                    on_device = {name: tensor.to(model.device) for name, tensor in batch.items()}
                    total += float(self._loss(model, on_device)) * labelled
                    tokens += labelled
        finally:
            model.train(training)
            self.seconds += time.monotonic() - start
        return total / tokens


def callback(context: StepContext, validation: Validation, *, every: int, total: int) -> Any:
    """Returns the Trainer callback that measures; a factory, because its base class needs transformers imported.

    Args:
        context: the step; gets the values as progress.
        validation: what is measured.
        every: optimizer steps between two measurements, those between two checkpoints.
        total: optimizer steps in all; the last one is measured as well.
    """
    from transformers import TrainerCallback

    class ValidationCallback(TrainerCallback):  # type: ignore[misc]
        """Measures before the first step, every `every` steps and after the last one."""

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            """Measures the start, or what the checkpoint lacks because a stop was requested meanwhile."""
            known = loss_curve.validation_losses(state.log_history)
            if known:
                self._report(known[max(known)])
            if self._due(state.global_step) and state.global_step not in known:
                with context.stop.at_once():  # nothing has changed since the checkpoint
                    self._record(state, validation.measure(model))

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            """Measures what is due, before the Trainer saves the checkpoint of the step."""
            if not self._due(state.global_step):
                return
            # After the last step the artifact follows, which has the whole curve. A checkpoint may lack a value: the
            # weights are in it, so that the resumed training measures the same.
            last = state.global_step >= total
            value = validation.measure(model, give_up=(lambda: False) if last else context.stop.requested)
            if value is None:
                control.should_save = control.should_training_stop = True
                return
            self._record(state, value)

        def _due(self, step: int) -> bool:
            return step % every == 0 or step >= total

        def _record(self, state: Any, value: float | None) -> None:
            assert value is not None
            loss_curve.require_finite(value, name="validation loss", step=state.global_step, id_=context.task.id)
            state.log_history.append({"step": state.global_step, VALIDATION_LOSS: value})
            self._report(value)

        def _report(self, value: float) -> None:
            context.progress.advance(0, validationLoss=round(value, 4))

    return ValidationCallback()
