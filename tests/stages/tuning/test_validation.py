"""Validation: which rows are held out, what is measured on them, and that the training does not notice."""

from pathlib import Path
from typing import Any

import pytest
from tests.stages.tuning.test_training import TINY, answers, curve
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.base_model import importing
from selfalign_stages.contract.exits import BadInput, Interrupted
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import examples, loss_curve, models, train, training_rows
from selfalign_stages.tuning.examples import IGNORED, Example
from selfalign_stages.tuning.loss_curve import LossCurve
from selfalign_stages.tuning.validation import Validation

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

QUARTER = TINY.model_copy(update={"validation_share": 0.25, "checkpoint_steps": 3})
SEED = 7
"""Of the contexts in tests.steps_support."""


def answer(number: int, *, sample: int = 0) -> Answer:
    prompt = Prompt(id=f"p{number}", instruction=f"Ask {number}.", source="self-instruct")
    return Answer(id=f"p{number}/{sample}", prompt=prompt, answer=f"Say {sample}.", finish_reason="stop", tokens=3)


def prepared(folder: Path, settings: TrainParameters, rows: list[Answer], **options: Any) -> StepContext:
    base = importing.run(context(folder, "import", leaves={"baseModel": "builtin://hamlet"}))
    return context(
        folder,
        "train",
        parameters=settings,
        inputs={"baseModel": base.ref, "answers": artifact(folder, "answers", rows)},
        leaves={"pack:identity": "builtin://hamlet"},
        seed=SEED,
        **options,
    )


def weights(made: StepContext, manifest: Manifest) -> bytes:
    return reading.read_bytes(made.store, manifest, "adapter_model.safetensors")


def test_the_share_of_prompts_is_held_out_and_no_row_is_lost() -> None:
    rows = [answer(number) for number in range(40)]
    training, validation = training_rows.split(rows, share=0.25, seed=1)
    assert len(validation) == 10
    assert sorted([*training, *validation], key=rows.index) == rows
    assert training_rows.split(rows, share=None, seed=1) == (rows, [])


def test_answers_to_one_prompt_are_on_the_same_side() -> None:
    rows = [answer(number, sample=sample) for number in range(10) for sample in range(3)]
    training, validation = training_rows.split(rows, share=0.3, seed=1)
    assert len(validation) == 9
    assert {row.prompt.id for row in training}.isdisjoint(row.prompt.id for row in validation)


def test_the_choice_depends_on_ids_and_seed_alone() -> None:
    rows = [answer(number) for number in range(40)]

    def chosen(among: list[Answer], seed: int) -> set[str]:
        return {row.prompt.id for row in training_rows.split(among, share=0.25, seed=seed)[1]}

    assert chosen(rows, 1) == chosen(rows[::-1], 1) != chosen(rows, 2)
    # Of half of the rows, those with the lowest hashes are chosen again.
    assert chosen(rows[:20], 1) & chosen(rows, 1)


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[StepContext, Manifest]:
    """A training with validation."""
    made = prepared(tmp_path_factory.mktemp("validated"), QUARTER, answers())
    return made, train.run(made)


@pytest.mark.slow
def test_the_weights_are_those_of_a_training_on_the_same_rows_without_validation(
    validated: tuple[StepContext, Manifest], tmp_path: Path
) -> None:
    made, manifest = validated
    kept, _ = training_rows.split(answers(), share=0.25, seed=SEED)
    other = prepared(tmp_path, TINY, kept)
    unobserved = train.run(other)
    assert weights(made, manifest) == weights(other, unobserved)
    losses = [point["loss"] for point in curve(made, manifest) if "loss" in point]
    assert losses == [point["loss"] for point in curve(other, unobserved)]


@pytest.mark.slow
def test_the_loss_is_measured_before_the_first_step_at_checkpoints_and_at_the_end(
    validated: tuple[StepContext, Manifest],
) -> None:
    made, manifest = validated
    points = curve(made, manifest)
    last = int(points[-1]["step"])
    assert last % 3  # the end is measured although no checkpoint is due
    measured = {int(point["step"]): point["validationLoss"] for point in points if "validationLoss" in point}
    assert list(measured) == [*range(0, last, 3), last]
    assert points[0] == {"step": 0, "validationLoss": measured[0]}
    assert measured[last] < measured[0]
    assert manifest.metrics["firstValidationLoss"] == round(measured[0], 4)
    assert manifest.metrics["lastValidationLoss"] == round(measured[last], 4)
    assert made.progress.value.metrics["validationLoss"] == round(measured[last], 4)
    assert "loss" in made.progress.value.metrics


@pytest.mark.slow
def test_held_out_rows_are_counted_and_not_trained_on(validated: tuple[StepContext, Manifest]) -> None:
    _, manifest = validated
    assert manifest.metrics["validationRows"] == 4
    assert manifest.counts.rejected == {"validation": 4}
    assert (manifest.counts.rows, manifest.counts.kept) == (18 + 6, 14 + 6)  # answers and identity rows


@pytest.mark.slow
@pytest.mark.parametrize("checks", [3, 4], ids=["within a measurement", "between two"])
def test_a_stopped_training_resumes_to_the_same_curve(
    validated: tuple[StepContext, Manifest], tmp_path: Path, checks: int
) -> None:
    made, expected = validated
    asked = iter(range(10**6))
    stopped = prepared(tmp_path, QUARTER, answers(), stop_requested=lambda: next(asked) >= checks)
    with pytest.raises(Interrupted, match="saved"):
        train.run(stopped)
    assert Checkpoints(stopped).steps()
    resumed = prepared(tmp_path, QUARTER, answers())
    manifest = train.run(resumed)
    assert curve(resumed, manifest) == curve(made, expected)
    assert manifest.digest == expected.digest


@pytest.mark.slow
def test_the_loss_is_the_mean_over_tokens_without_dropout(validated: tuple[StepContext, Manifest]) -> None:
    import torch

    made, manifest = validated
    model = models.load_model(reading_base(made), dtype="float32")
    model.train()
    tokenizer = models.load_tokenizer(reading_base(made))
    _, kept_back = training_rows.split(answers(), share=0.25, seed=SEED)
    rows, _ = examples.encode(
        examples.answer_pairs(kept_back),
        lambda text: (lambda e: (e["input_ids"], e["offset_mapping"]))(tokenizer(text, return_offsets_mapping=True)),
        assistant_name="Ida",
        eos_token=tokenizer.eos_token,
        max_length=128,
    )
    total, tokens = 0.0, 0
    for row in rows:
        logits = model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        tokens += int((labels != IGNORED).sum())
    # A new adapter adds nothing, so that the first value is the base model's.
    assert curve(made, manifest)[0]["validationLoss"] == pytest.approx(total / tokens, rel=1e-5)


def reading_base(made: StepContext) -> Path:
    manifest = reading.require_manifest(made.store, made.task.inputs["baseModel"])
    return reading.download(made.store, manifest, made.scratch / "base")


class Counting:
    """A model that is asked for nothing but its mode and device."""

    device, training = "cpu", True

    def eval(self) -> None:
        self.training = False

    def train(self, mode: bool) -> None:
        self.training = mode


def example(labelled: int, prompt: int = 2) -> Example:
    return Example(tuple(range(prompt + labelled)), (IGNORED,) * prompt + tuple(range(labelled)))


def test_every_token_has_the_same_weight_and_the_model_is_left_in_its_mode() -> None:
    def loss(model: Any, batch: Any) -> Any:
        assert not model.training
        return (batch["labels"] != IGNORED).sum().float()  # the mean "loss" of a batch is its number of tokens

    model = Counting()
    rows = [example(6), example(1), example(1)]
    assert Validation(rows, micro_batch=2, pad=0, loss=loss).measure(model) == (2 * 2 + 6 * 6) / 8
    assert model.training


def test_a_measurement_gives_up_between_two_batches() -> None:
    answers_to_give_up = iter([False, True])
    measured: list[Any] = []

    def loss(model: Any, batch: Any) -> Any:
        measured.append(batch)
        return (batch["labels"] != IGNORED).sum().float()

    validation = Validation([example(1), example(2)], micro_batch=1, pad=0, loss=loss)
    assert validation.measure(Counting(), give_up=lambda: next(answers_to_give_up)) is None
    assert len(measured) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation_share": 0.02}, r"validationShare 0\.02 of 18 answers leaves no row .* Raise it or write 0"),
        ({"max_length": 16, "validation_share": 0.5, "identity_repeats": 0}, r"no row is left to train on"),
    ],
)
def test_a_share_that_leaves_no_row_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        train.run(prepared(tmp_path, TINY.model_copy(update=change), answers()))
    assert raised.value.reason == "NoRows"


def test_a_validation_loss_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(BadInput, match="the validation loss is nan at step 4; lower training.learningRate"):
        loss_curve.require_finite(float("nan"), name="validation loss", step=4, id_="engraving-train")


def test_without_held_out_rows_metrics_and_curve_do_not_mention_validation() -> None:
    points = [{"step": 1, "loss": 2.0, "learningRate": 0.0}]
    plain = LossCurve(points=points, steps=1, tokens=8, seconds=1.0, padding=0.0)
    assert plain.records() == points
    assert not [name for name in plain.metrics() if "alidation" in name]


def test_examples_are_padded_to_the_longest_of_their_batch_alone() -> None:
    seen: list[tuple[int, ...]] = []

    def loss(model: Any, batch: Any) -> Any:
        seen.append(tuple(batch["input_ids"].shape))
        return (batch["labels"] != IGNORED).sum().float()

    Validation([example(9), example(1), example(8), example(2)], micro_batch=2, pad=0, loss=loss).measure(Counting())
    assert seen == [(2, 4), (2, 11)]
