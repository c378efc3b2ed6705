"""A copy that lacks tensors is refused by their names, before anything is copied or loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.stages.base_model import contexts, folders

from selfalign_stages.base_model import completeness, importing, inspection, open_source, selection
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import Leaf, StoreLocation

STORE = StoreLocation(uri="file:///store")
ATTENTION = ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.o_proj.weight")
MLP = ("mlp.up_proj.weight", "mlp.down_proj.weight")
OUTSIDE = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
CONFIG: dict[str, Any] = {"num_hidden_layers": 4, "tie_word_embeddings": False}


def llama(*, layers: int = 4, prefix: str = "model.layers") -> list[str]:
    """Tensors of a model whose layers are all alike."""
    return [*OUTSIDE, *(f"{prefix}.{n}.{rest}" for n in range(layers) for rest in (*ATTENTION, *MLP))]


def without(names: list[str], part: str) -> list[str]:
    """The names that do not contain a text."""
    return [name for name in names if part not in name]


@pytest.mark.parametrize("prefix", ["model.layers", "model.language_model.layers", "transformer.h", "h"])
def test_a_complete_model_lacks_nothing_whatever_its_prefix(prefix: str) -> None:
    assert completeness.missing(llama(prefix=prefix), CONFIG) == []
    assert completeness.problem(llama(prefix=prefix), CONFIG) is None


@pytest.mark.parametrize(
    ("part", "lacking"),
    [
        ("layers.2.", ["model.layers.2.*"]),
        ("layers.3.", ["model.layers.3.*"]),
        ("layers.1.self_attn.k_proj", ["model.layers.1.self_attn.k_proj.weight"]),
        ("layers.1.mlp", ["model.layers.1.mlp.down_proj.weight", "model.layers.1.mlp.up_proj.weight"]),
        ("embed_tokens", ["the embedding"]),
        ("lm_head", ["the output layer (lm_head)"]),
    ],
)
def test_what_is_missing_is_named(part: str, lacking: list[str]) -> None:
    assert completeness.missing(without(llama(), part), CONFIG) == lacking


def test_without_a_number_of_layers_gaps_between_them_are_found() -> None:
    assert completeness.missing(without(llama(), "layers.1."), {}) == ["model.layers.1.*"]


def test_the_number_of_layers_may_be_that_of_the_text_model() -> None:
    config = {"num_hidden_layers": 9, "text_config": {"num_hidden_layers": 5}}
    assert completeness.missing(llama(), config) == ["model.layers.4.*"]


@pytest.mark.parametrize(
    "extra",
    [
        [f"model.vision_tower.encoder.layers.{n}.{rest}" for n in range(24) for rest in ATTENTION],
        ["model.layers.4.eh_proj.weight", "model.layers.4.self_attn.q_proj.weight"],
        [f"mtp.layers.{n}.fc.weight" for n in (0, 7)],
        ["model.layers.0.self_attn.rotary_emb.inv_freq"],
    ],
    ids=["vision tower", "layer that predicts further tokens", "stack that predicts further tokens", "constant"],
)
def test_more_tensors_than_needed_do_no_harm(extra: list[str]) -> None:
    assert completeness.missing([*llama(), *extra], CONFIG) == []


def test_a_tied_output_layer_needs_no_tensor() -> None:
    tied = without(llama(), "lm_head")
    for config in ({"tie_word_embeddings": True}, {}):
        assert completeness.missing(tied, config | {"num_hidden_layers": 4}) == []


def test_kinds_of_layers_may_differ() -> None:
    experts = [f"model.layers.{n}.mlp.experts.{e}.up_proj.weight" for n in range(1, 4) for e in range(2)]
    dense_first = [name for name in llama() if ".mlp." not in name or ".0." in name]
    hybrid = [f"model.layers.{n}.{rest}" for n in range(4) for rest in (MLP if n % 2 else (*MLP, *ATTENTION))]
    assert completeness.missing([*dense_first, *experts], CONFIG) == []
    assert completeness.missing([*OUTSIDE, *hybrid], CONFIG) == []


def test_stacks_that_take_turns_have_as_many_layers_as_their_files() -> None:
    names = [*llama(layers=2, prefix="model.H_module.layers"), *llama(layers=2, prefix="model.L_module.layers")]
    assert completeness.missing(names, CONFIG | {"num_hidden_layers": 16}) == []
    assert completeness.missing(without(names, "H_module.layers.0."), CONFIG) == []
    longest = [*names, *llama(layers=4, prefix="model.H_module.layers")]
    assert completeness.missing(without(longest, "H_module.layers.1."), CONFIG) == ["model.H_module.layers.1.*"]


def test_layers_that_were_searched_by_machine_are_not_compared() -> None:
    names = [*llama(layers=3), "model.layers.3.mlp.up_proj.weight"]
    assert completeness.missing(names, CONFIG | {"block_configs": []}) == []


def test_an_expert_that_one_layer_lacks_is_missing() -> None:
    sparse = [f"model.layers.{n}.mlp.experts.{e}.up_proj.weight" for n in range(4) for e in range(2)]
    lacking = "model.layers.3.mlp.experts.1.up_proj.weight"
    assert completeness.missing(without([*llama(), *sparse], lacking), CONFIG) == [lacking]


def test_a_message_names_the_first_and_the_remedy() -> None:
    message = completeness.problem(llama(layers=1), CONFIG | {"num_hidden_layers": 9})
    assert message == (
        "lacks model.layers.1.*, model.layers.2.*, model.layers.3.*, model.layers.4.*, model.layers.5.* and 3 more; "
        "the copy is incomplete: use a complete one"
    )


@pytest.mark.parametrize("shards", [1, 2])
def test_preflight_and_import_refuse_an_incomplete_copy_before_they_read_its_weights(
    tmp_path: Path, shards: int
) -> None:
    tensors = {name: (4, 4) for name in without(llama(), "layers.2.")}
    files = folders.contents(config={"num_hidden_layers": 4})
    if shards == 1:
        files[selection.WEIGHTS] = folders.safetensors(tensors)
    else:
        del files[selection.WEIGHTS]
        files["a.safetensors"] = folders.safetensors(tensors)
        files[selection.INDEX] = json.dumps({"weight_map": dict.fromkeys(tensors, "a.safetensors")}).encode()
    leaf = Leaf(uri=folders.write(tmp_path / "model", files).as_uri())
    model = inspection.inspect(open_source.open_source(leaf, store=STORE), leaf)
    (problem,) = model.fitness.problems
    name = selection.WEIGHTS if shards == 1 else selection.INDEX
    assert problem == f"{name}: lacks model.layers.2.*; the copy is incomplete: use a complete one"
    assert model.model_files == ()
    with pytest.raises(BadInput, match=r"lacks model\.layers\.2\.\*"):
        importing.run(contexts.context(leaf, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "model_type", ["llama", "gpt2", "gemma2", "falcon_h1", "deepseek_v2", "qwen3_moe", "qwen3_next", "hrm_text"]
)
def test_models_as_transformers_builds_them_lack_nothing_and_with_a_tensor_less_they_do(model_type: str) -> None:
    """Meta tensors: the shapes of the real models, without their weights."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.CONFIG_MAPPING[model_type]()
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    names = [name for name, _ in model.named_parameters() if name not in model.all_tied_weights_keys]
    assert completeness.missing(names, config.to_dict()) == []
    lost = next(name for name in names if ".1." in name)
    assert completeness.missing(without(names, lost), config.to_dict()) == [lost]
