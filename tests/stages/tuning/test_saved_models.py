"""The model that is saved is the model that was trained, on base models of many families."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.scale import FULL
from tests.stages.tuning import families
from tests.steps_support import context

from selfalign_stages.artifacts import reading, writing
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import MergeParameters
from selfalign_stages.tuning import divergence, merge, models, train, weights

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PROBES = [[1, *range(5 + n, 45 + n)] for n in range(4)]
LIKE_LLAMA_2 = {"temperature": 0.6, "top_p": 0.9, "do_sample": False, "eos_token_id": 2}
"""A published generation config that transformers itself refuses to save."""
BESIDE_THE_WEIGHTS = {
    "tokenizer.json": b'{"not": "read here"}',
    "tokenizer.model": b"\x00sentencepiece",
    "tokenizer_config.json": b'{"chat_template": "{{ messages }}",  "eos_token": "</s>"}',
    "LICENSE": b"terms",
    "NOTICE.md": b"notice",
    "USE_POLICY.md": b"policy",
    "README.md": b"the base model's card",
    "source.json": b"{}",
    "generation_config.json": json.dumps(LIKE_LLAMA_2).encode(),
}


def published(folder: Path, kind: Any, files: Path, key: str) -> ArtifactRef:
    made = context(folder, kind, key=key * 64)
    return writing.publish(made, files={path.name: path for path in files.iterdir()}).ref


def base_of(folder: Path, family: str) -> Path:
    base = families.save(family, folder / "base")
    for name, data in BESIDE_THE_WEIGHTS.items():
        (base / name).write_bytes(data)
    return base


def records(tuned: Path) -> None:
    (tuned / "probes.json").write_text(json.dumps(PROBES))
    (tuned / "chat_template.jinja").write_text("### Ida")
    (tuned / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))


def adapter_of(base: Path, tuned: Path) -> Any:
    """Saves a random adapter of all linear layers; returns the peft model in float32."""
    from peft import LoraConfig, get_peft_model

    model = models.load_model(base, dtype="float32")
    torch.manual_seed(1)
    made = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=families.linear_layers(model)))
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    made.save_pretrained(tuned)
    (tuned / "README.md").unlink()
    records(tuned)
    return made.eval()


def merged(folder: Path, base: Path, tuned: Path, *, dtype: str = "float32", tolerance: float = 4.0) -> Path:
    inputs = {
        "baseModel": published(folder, "import", base, "1"),
        "adapter": published(folder, "train", tuned, "2"),
    }
    parameters = MergeParameters.model_validate({"dtype": dtype, "tolerance": tolerance})
    made = context(folder, "merge", key="3" * 64, parameters=parameters, inputs=inputs)
    manifest: Manifest = merge.run(made)
    return reading.download(made.store, manifest, folder / "shipped")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.tensor(PROBES)).logits.float()
    return found


@pytest.mark.parametrize("family", sorted(families.FAMILIES) if FULL else ["gemma2", "gpt2", "llama-tied", "phi3"])
def test_the_saved_folder_computes_what_base_and_adapter_compute(tmp_path: Path, family: str) -> None:
    base = base_of(tmp_path, family)
    adapted = adapter_of(base, tmp_path / "tuned")
    shipped = merged(tmp_path, base, tmp_path / "tuned")
    difference = logits(models.load_model(shipped, dtype="float32")) - logits(adapted)
    assert difference.abs().max() < 1e-3 * logits(adapted).abs().max()
    assert weights.tensor_names(shipped) == weights.tensor_names(base)


@pytest.mark.parametrize("family", ["gemma2", "llama-tied", "llama-untied"] if FULL else ["llama-tied"])
def test_all_weights_of_a_full_training_are_saved(tmp_path: Path, family: str) -> None:
    base = base_of(tmp_path, family)
    trained = models.load_model(base, dtype="float32")
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in trained.parameters():
            weight += 0.05 * torch.randn_like(weight)
    trained.save_pretrained(tmp_path / "tuned")
    records(tmp_path / "tuned")
    shipped = merged(tmp_path, base, tmp_path / "tuned")
    assert torch.allclose(logits(models.load_model(shipped, dtype="float32")), logits(trained), atol=1e-4)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Base model and shipped model of a family with ordered lists in its configuration."""
    folder = tmp_path_factory.mktemp("gemma")
    base = base_of(folder, "gemma2")
    adapter_of(base, folder / "tuned")
    return base, merged(folder, base, folder / "tuned", dtype="bfloat16")


def test_files_are_the_base_model_s_but_for_the_listed_ones(gemma: tuple[Path, Path]) -> None:
    base, shipped = gemma
    names = {path.name for path in shipped.iterdir()}
    assert names == {path.name for path in base.iterdir()} - {"README.md", "source.json"} | {"chat_template.jinja"}
    changed = {
        name for name in names - {"chat_template.jinja"} if (base / name).read_bytes() != (shipped / name).read_bytes()
    }
    assert changed == {"model.safetensors", "generation_config.json", "tokenizer_config.json"}
    assert json.loads((shipped / "tokenizer_config.json").read_bytes()) == {"eos_token": "</s>"}
    assert (shipped / "chat_template.jinja").read_text() == "### Ida"


def test_another_dtype_changes_that_key_of_the_configuration_alone(tmp_path: Path) -> None:
    base = base_of(tmp_path, "gemma3")
    adapter_of(base, tmp_path / "tuned")
    shipped = merged(tmp_path, base, tmp_path / "tuned", dtype="float32")
    before, after = (json.loads((folder / "config.json").read_bytes()) for folder in (base, shipped))
    assert list(after) == list(before)
    assert {key for key in before if before[key] != after[key]} == {"dtype"}


def test_the_generation_config_has_no_sampling_of_the_base_model(gemma: tuple[Path, Path]) -> None:
    assert json.loads((gemma[1] / "generation_config.json").read_bytes()) == {"eos_token_id": 2}


def test_the_default_tolerance_accepts_what_the_cast_alone_changes(tmp_path: Path) -> None:
    base = base_of(tmp_path, "qwen3")
    adapter_of(base, tmp_path / "tuned")
    merged(tmp_path, base, tmp_path / "tuned", dtype="bfloat16")


def half(change: weights.Change, weight: torch.Tensor) -> torch.Tensor:
    return (weight + change(weight)) / 2


WRONG: dict[str, Callable[[dict[str, weights.Change]], dict[str, weights.Change]]] = {
    "half the factor": lambda changes: {name: partial(half, change) for name, change in changes.items()},
    "one layer left out": lambda changes: {
        name: (lambda weight: weight) if ".1." in name else change for name, change in changes.items()
    },
    "two layers exchanged": lambda changes: {
        name: changes[name.replace(".0.", ".x.").replace(".1.", ".0.").replace(".x.", ".1.")] for name in changes
    },
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_merge_is_refused_with_figures(tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = base_of(tmp_path, "qwen3")
    adapter_of(base, tmp_path / "tuned")
    right = weights.of_adapter
    monkeypatch.setattr(weights, "of_adapter", lambda *arguments: WRONG[wrong](right(*arguments)))
    with pytest.raises(BadInput, match=r"nats per token.*Set merge\.dtype to float32") as caught:
        merged(tmp_path, base, tmp_path / "tuned", dtype="bfloat16")
    assert caught.value.reason == "MergeMismatch"


def test_logits_that_are_no_numbers_are_refused() -> None:
    settings = MergeParameters(dtype="float16", tolerance=4.0)
    with pytest.raises(BadInput, match="float16"):
        merge.check(float("nan"), 0.1, settings, step="engraving-merge")


def test_missing_weights_are_named_and_not_filled_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    base = families.save("qwen2", tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"lack the weights model\.layers\.1\.mlp\.up_proj\.weight"):
        models.load_model(base, dtype="float32")


def test_a_beginning_that_texts_share_counts_once_in_the_divergence(tmp_path: Path) -> None:
    base = models.load_model(families.save("llama-untied", tmp_path / "base"), dtype="float32")
    twice = [PROBES[0], PROBES[0], [*PROBES[0][:3], 60, 61]]
    of_twice, of_once = (divergence.references(base, probes) for probes in (twice, twice[1:]))
    assert [len(one.tokens) for one in of_twice] == [len(PROBES[0]) - 1, 0, 1]
    with torch.no_grad():
        base.model.layers[0].mlp.down_proj.weight *= 1.5
    found = divergence.mean(of_twice, base, twice)
    assert 0 < found == pytest.approx(divergence.mean(of_once, base, twice[1:]))


def test_the_divergence_of_a_model_from_itself_is_0_and_grows_with_the_change(tmp_path: Path) -> None:
    base = models.load_model(families.save("llama-untied", tmp_path / "base"), dtype="float32")
    before = divergence.references(base, PROBES)
    found = [divergence.mean(before, base, PROBES)]
    for _ in range(2):
        with torch.no_grad():
            base.model.layers[0].mlp.down_proj.weight *= 1.5
        found.append(divergence.mean(before, base, PROBES))
    assert found[0] < 1e-9 < 1e-3 < found[1] < found[2]


def test_targets_that_a_model_fuses_into_others_are_refused_with_what_it_has(tmp_path: Path) -> None:
    phi = models.load_model(families.save("phi3", tmp_path / "base"), dtype="float32")
    with pytest.raises(BadInput, match=r"no linear layer q_proj, k_proj, v_proj; it has .*qkv_proj") as caught:
        train._require_targets(phi, ("q_proj", "k_proj", "v_proj", "o_proj"))
    assert caught.value.reason == "UnknownTargets"
    train._require_targets(phi, ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"))
    train._require_targets(phi, ())
