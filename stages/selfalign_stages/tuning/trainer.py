"""Runs transformers' Trainer for step train: checkpoints in the store, resume, stop on request, loss curve.

The Trainer is used for what is hard to get right twice (mixed precision, accumulation, resuming optimizer, scheduler
and random state) and kept from what would make a rerun differ: it gets the examples in their final order and a
sequential sampler, no reporting, and no hub.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.contract.exits import BadInput, Interrupted
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import batches, loss_curve
from selfalign_stages.tuning.answer_loss import AnswerLoss
from selfalign_stages.tuning.examples import Example
from selfalign_stages.tuning.loss_curve import LossCurve
from selfalign_stages.tuning.validation import Validation, callback


def train(
    context: StepContext,
    model: Any,
    examples: list[Example],
    *,
    settings: TrainParameters,
    pad: int,
    checkpoints: Checkpoints,
    validation: Sequence[Example] = (),
) -> LossCurve:
    """Trains a model in place, from the newest complete checkpoint if there is one.

    Args:
        context: the step; its seed determines order and dropout.
        model: transformers or peft model with the weights to train.
        examples: tokenised texts.
        settings: hyperparameters.
        pad: token id of the padding.
        checkpoints: the step's checkpoints in the store.
        validation: tokenised texts whose loss is measured beside the training; empty: none is.

    Raises:
        BadInput: the batch sizes do not divide (BatchNotDivisible), or the loss is NaN or infinite (LossNotFinite).
        Interrupted: a stop was requested; the last checkpoint is saved.
    """
    output = context.scratch / "trainer"
    lengths = [len(example.input_ids) for example in examples]
    order = batches.schedule(
        lengths, micro_batch=settings.micro_batch_size, epochs=settings.epochs, seed=context.task.seed
    )
    total = max(1, math.ceil(len(order) / settings.global_batch_size))
    trainer = _trainer_class(model, probe=batches.collate(batches.rows(examples[:1]), pad=pad))(
        model=model,
        args=_arguments(output, settings, total=total, seed=context.task.seed),
        train_dataset=batches.rows([examples[position] for position in order]),
        data_collator=lambda rows: batches.collate(rows, pad=pad),
        callbacks=[_callback(context, checkpoints, total=total)],
    )
    measured = Validation(validation, micro_batch=settings.micro_batch_size, pad=pad, loss=trainer.compute_loss)
    if validation:
        trainer.add_callback(callback(context, measured, every=settings.checkpoint_steps, total=total))
    with context.stop.at_once():
        checkpoint = checkpoints.latest(output)
    result = trainer.train(resume_from_checkpoint=str(checkpoint[1]) if checkpoint else None)
    if context.stop.requested() and trainer.state.global_step < total:
        raise Interrupted(f"{context.task.id}: stopped at step {trainer.state.global_step} of {total}; saved")
    return LossCurve(
        points=loss_curve.training_losses(trainer.state.log_history),
        steps=trainer.state.global_step,
        tokens=sum(lengths[position] for position in order),
        seconds=float(result.metrics["train_runtime"]) - measured.seconds,
        padding=_padding([lengths[position] for position in order], settings.micro_batch_size),
        validation=loss_curve.validation_losses(trainer.state.log_history),
        validation_rows=len(validation),
    )


def _trainer_class(model: Any, *, probe: dict[str, Any]) -> Any:
    """Returns transformers' Trainer, with the loss at answer tokens alone where that equals the model's own.

    Args:
        model: the model to train.
        probe: a batch to compare both losses on.
    """
    from transformers import Trainer

    if not AnswerLoss.fits(model, probe):
        return Trainer
    answer_loss = AnswerLoss(model)

    class AnswerTrainer(Trainer):  # type: ignore[misc]
        """Computes no logits for prompt and padding."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """See Trainer; outputs are asked for by its evaluation loop alone, which is not used."""
            assert not return_outputs
            # The mixed precision of accelerate is in the forward of the whole model, which is not called here.
            with self.accelerator.autocast():
                return answer_loss(inputs, items=num_items_in_batch)

    return AnswerTrainer


def _arguments(output: Path, settings: TrainParameters, *, total: int, seed: int) -> Any:
    """Returns transformers' TrainingArguments; `total` is the number of optimizer steps."""
    import torch
    from transformers import TrainingArguments

    processes = int(os.environ.get("WORLD_SIZE", "1"))  # set by torchrun
    try:
        accumulation = batches.accumulation_steps(
            global_batch=settings.global_batch_size, micro_batch=settings.micro_batch_size, processes=processes
        )
    except ValueError as error:
        raise BadInput(f"training: {error}", reason="BatchNotDivisible") from error
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        # A fraction of the steps: the paper's 100 would exceed the whole training of a small run.
        warmup_steps=int(total * settings.warmup_ratio),
        # Not num_train_epochs: all epochs already stand in the dataset, in order.
        max_steps=total,
        logging_steps=1,
        # The filter replaces a NaN loss by the mean of earlier ones and would hide a diverged training.
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=1,  # on the local disk; older checkpoints are in the store
        # See batches: a random sampler would order the rest of an epoch differently after a resume.
        train_sampling_strategy="sequential",
        remove_unused_columns=True,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        use_cpu=not cuda,
        bf16=cuda,
        gradient_checkpointing=cuda,  # activations are recomputed: less memory for about a third more computation
        dataloader_pin_memory=cuda,
        seed=seed,
        data_seed=seed,
    )


def _callback(context: StepContext, checkpoints: Checkpoints, *, total: int) -> Any:
    """Returns the Trainer callback of the step; a factory, because its base class needs transformers imported."""
    from transformers import TrainerCallback

    class StoreCallback(TrainerCallback):  # type: ignore[misc]
        """Uploads checkpoints as they are saved, reports progress, and stops on request with a last checkpoint."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Starts the progress where the checkpoint ended."""
            context.progress.begin(total, unit="optimizer steps", done=state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Ends the training after this step, with a checkpoint, if a stop is requested."""
            context.progress.advance()
            if context.stop.requested():
                control.should_save = control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            """Reports the loss, and ends a training that has diverged."""
            if logs and "loss" in logs:
                loss = float(logs["loss"])
                context.progress.advance(0, loss=round(loss, 4))
                loss_curve.require_finite(loss, name="loss", step=state.global_step, id_=context.task.id)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Uploads the checkpoint that the Trainer has just written."""
            # One process uploads; and after the last step the artifact itself follows, not a checkpoint.
            if state.is_world_process_zero and state.global_step < total:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                checkpoints.save(state.global_step, folder)
                checkpoints.prune()

    return StoreCallback()


def _padding(lengths: list[int], micro_batch: int) -> float:
    """Returns the fraction of padded positions; `lengths` are tokens per example in training order."""
    rows = [lengths[i : i + micro_batch] for i in range(0, len(lengths), micro_batch)]
    return 1 - sum(lengths) / sum(max(row) * len(row) for row in rows)
