"""The layers that LoRA can adapt are known from the names of the tensors, before anything is loaded."""

import json
from pathlib import Path

import pytest
from tests.stages.base_model import folders, hub

from selfalign_stages.base_model import layers, open_source, selection
from selfalign_stages.contract.task import Leaf, StoreLocation

STORE = StoreLocation(uri="file:///store")
PHI_3 = {
    "model.embed_tokens.weight": (264, 4),
    "model.layers.0.input_layernorm.weight": (4,),
    "model.layers.0.self_attn.qkv_proj.weight": (12, 4),
    "model.layers.0.self_attn.o_proj.weight": (4, 4),
    "model.layers.0.mlp.down_proj.weight": (4, 8),
    "lm_head.weight": (264, 4),
}
GPT_2 = ["wte.weight", "h.0.ln_1.weight", "h.0.attn.c_attn.weight", "h.0.attn.c_attn.bias", "h.0.mlp.c_fc.weight"]


def test_the_names_come_from_the_header_of_the_only_file(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "model", folders.contents() | {selection.WEIGHTS: folders.safetensors(PHI_3)})
    source = open_source.open_source(Leaf(uri=folder.as_uri()), store=STORE)
    assert sorted(layers.tensor_names(source, {})) == sorted(PHI_3)


def test_the_names_come_from_the_index_of_several_files(tmp_path: Path) -> None:
    source = open_source.open_source(Leaf(uri=tmp_path.as_uri()), store=STORE)
    index = {selection.INDEX: json.dumps({"weight_map": dict.fromkeys(PHI_3, "a.safetensors")}).encode()}
    assert layers.tensor_names(source, index) == list(PHI_3)


def test_the_start_of_a_shard_on_the_hub_is_read_without_the_rest(served: hub.HubState) -> None:
    source = open_source.open_source(Leaf(uri="hf://harbour/lantern", revision=hub.COMMIT), store=STORE)
    shard = "model-00001-of-00002.safetensors"
    assert source.start(shard, 12) == folders.with_more()[shard][:12]


@pytest.mark.parametrize(
    ("names", "kinds"), [(list(PHI_3), ["down_proj", "o_proj", "qkv_proj"]), (GPT_2, ["c_attn", "c_fc"])]
)
def test_only_matrices_of_numbered_layers_can_be_adapted(names: list[str], kinds: list[str]) -> None:
    assert layers.kinds(layers.matrices(names)) == kinds


def test_a_target_is_the_end_of_a_path_and_what_no_path_ends_in_is_missing() -> None:
    modules = layers.matrices(PHI_3)
    assert layers.missing(["qkv_proj", "self_attn.o_proj"], modules) == []
    assert layers.missing(["q_proj", "proj", "embed_tokens", "o_proj"], modules) == ["q_proj", "proj", "embed_tokens"]
