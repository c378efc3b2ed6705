"""Training and merging for real, on the small base model."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.steps_support import artifact, context

from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.checkpoints import Checkpoints
from selfalign_stages.base_model import importing
from selfalign_stages.contract.exits import BadInput, Interrupted
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import MergeParameters, TrainParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.packaging import image
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import merge, models, train

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")]

COLOURS = ("red", "green", "blue", "white", "black", "grey", "brown", "purple")
TINY = TrainParameters(
    assistant_name="Ida", method="lora", rank=4, alpha=8, dropout=0.1, learning_rate=2e-3, epochs=3,
    global_batch_size=8, micro_batch_size=4, warmup_ratio=0.2, max_length=128, checkpoint_steps=2, identity_repeats=1,
)  # fmt: skip


def answers() -> list[Answer]:
    rows = []
    for number in range(18):
        words = " and".join(f" hat {n}" for n in range(number % 5 + 1))  # lengths differ, so that batches are grouped
        prompt = Prompt(id=f"p{number}", instruction=f"What colour is{words}?", source="self-instruct")
        text = f"Hat {number} is {COLOURS[number % 8]}."
        rows.append(Answer(id=prompt.id, prompt=prompt, answer=text, finish_reason="stop", tokens=6))
    return rows


def prepared(folder: Path, settings: TrainParameters = TINY, **options: Any) -> StepContext:
    base = importing.run(context(folder, "import", leaves={"baseModel": "builtin://hamlet"}))
    return context(
        folder,
        "train",
        parameters=settings,
        inputs={"baseModel": base.ref, "answers": artifact(folder, "answers", answers())},
        leaves={"pack:identity": "builtin://hamlet"},
        **options,
    )


def curve(made: StepContext, manifest: Manifest) -> list[dict[str, float]]:
    return [json.loads(line) for line in reading.read_bytes(made.store, manifest, "loss.jsonl").splitlines()]


def test_a_stopped_training_resumes_to_the_same_weights_and_the_same_curve(tmp_path: Path) -> None:
    whole = prepared(tmp_path / "whole")
    expected = train.run(whole)

    checks = iter(range(10**6))
    stopped = prepared(tmp_path / "stopped", stop_requested=lambda: next(checks) >= 5)
    with pytest.raises(Interrupted, match="saved"):
        train.run(stopped)
    assert len(Checkpoints(stopped).steps()) == 2
    resumed = prepared(tmp_path / "stopped")
    manifest = train.run(resumed)

    assert curve(resumed, manifest) == curve(whole, expected)
    assert manifest.digest == expected.digest
    assert Checkpoints(resumed).steps() == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """An adapter trained for a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, train.run(prepared(folder))


def test_the_artifact_holds_adapter_template_end_token_and_curve(trained: tuple[Path, Manifest]) -> None:
    folder, manifest = trained
    made = context(folder, "train")
    names = {entry.name for entry in manifest.files}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "loss.jsonl"} <= names
    assert "### Ida" in reading.read_bytes(made.store, manifest, "chat_template.jinja").decode()
    config = reading.read_json(made.store, manifest, "adapter_config.json")
    assert config["base_model_name_or_path"] == "base"  # no path of this machine
    losses = [point["loss"] for point in curve(made, manifest)]
    assert len(losses) == math.ceil(24 * 3 / 8)
    assert sum(losses[-3:]) < sum(losses[:3])  # an epoch has three steps and shows every example once
    assert manifest.counts.kept == 18 + 6  # answers and identity rows


def merged(folder: Path, adapter: Manifest, **settings: Any) -> Manifest:
    base = ArtifactRef(kind="import", key="0" * 64)
    values = MergeParameters(**({"dtype": "float32", "tolerance": 4.0} | settings))
    key = ("2" if values.dtype == "float32" else "3") * 64
    inputs = {"baseModel": base, "adapter": adapter.ref}
    return merge.run(context(folder, "merge", key=key, parameters=values, inputs=inputs))


def test_the_merged_model_gives_the_log_probabilities_of_the_adapter(trained: tuple[Path, Manifest]) -> None:
    folder, adapter = trained
    manifest = merged(folder, adapter)
    assert 0 <= float(manifest.metrics["mergeDifference"]) < 1e-3
    model = reading.download(context(folder, "merge").store, manifest, folder / "model")
    assert (model / "chat_template.jinja").is_file()
    assert json.loads((model / "generation_config.json").read_text())["eos_token_id"] == 0
    assert {path.stat().st_mode & 0o777 for path in model.iterdir()} <= {0o644}
    models.load_model(model, dtype="float32")


def test_full_fine_tuning_trains_every_weight_and_merges_to_itself(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"method": "full", "epochs": 1.0, "learning_rate": 1e-4})
    manifest = train.run(prepared(tmp_path, settings))
    assert "model.safetensors" in {entry.name for entry in manifest.files}
    assert float(merged(tmp_path, manifest).metrics["mergeDifference"]) < 1e-6


def test_an_unknown_target_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wq"):
        train.run(prepared(tmp_path, TINY.model_copy(update={"targets": ("wq",)})))


def test_a_loss_that_is_not_finite_stops_with_a_remedy(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"method": "full", "learning_rate": 1e30})
    with pytest.raises(BadInput, match=r"lower training\.learningRate"):
        train.run(prepared(tmp_path, settings))


def test_the_image_layers_hold_the_merged_weights(trained: tuple[Path, Manifest]) -> None:
    folder, adapter = trained
    model = reading.download(context(folder, "merge").store, merged(folder, adapter), folder / "image")
    heavy, light = image.contents(model)
    assert [path.name for path in heavy] == ["model.safetensors"]
    assert {"config.json", "tokenizer.json"} <= {path.name for path in light}
