"""Preflight tells every problem at once by its field, resolves the leaves, and finds the steps that are done."""

import json
from pathlib import Path

import pytest
from tests.stages.base_model import folders, hub
from tests.stages.main import processes
from tests.stages.preflight import asking

from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.contract.task import PreflightResult
from selfalign_stages.preflight.check import check


def test_a_fit_run_has_digests_for_all_leaves_and_nothing_done(tmp_path: Path) -> None:
    asked = asking.task(tmp_path)
    answer = check(asked)
    assert answer.problems == ()
    assert answer.hits == {}
    assert answer.leaves.keys() == asked.leaves.keys()
    assert all(digest.startswith("sha256:") for digest in answer.leaves.values())


def test_every_step_that_is_in_the_store_is_found_as_a_hit(tmp_path: Path) -> None:
    asked = asking.task(tmp_path)
    answer = check(asked)
    for id_ in ("import", "engraving-train"):
        asking.publish(asked, answer, id_)
    found = check(asked).hits
    keys = graph.keys(asked.steps, leaves=answer.leaves, seed=asked.seed)
    assert {id_: (result.cache, result.key) for id_, result in found.items()} == {
        "import": ("Hit", keys["import"]),
        "engraving-train": ("Hit", keys["engraving-train"]),
    }
    assert found["engraving-train"].metrics == {"loss": 1.5}


def test_keys_follow_from_content_so_that_a_copy_elsewhere_finds_the_same_steps(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert check(asking.task(here)).leaves == check(asking.task(there)).leaves
    asking.append(there / "pack" / "seed-tasks.jsonl", '{"id": "new", "instruction": "Name a harbour."}\n')
    changed = check(asking.task(there)).leaves
    assert {name for name, digest in check(asking.task(here)).leaves.items() if digest != changed[name]} == {
        "pack",
        "pack:queries",
        "pack:rules",
        "pack:verbose",
        "pack:judging",
    }


def test_all_problems_are_told_at_once_by_field(tmp_path: Path) -> None:
    asked = asking.task(
        tmp_path,
        stages={"evaluation": {"suites": [
            {"name": "hhh", "format": "hhh", "uri": "pack://hhh"},
            {"name": "mine", "format": "adherence", "uri": "file://missing.jsonl"},
            {"name": "other", "format": "truthfulqa", "uri": "pack://nothing"},
        ]}},
    )  # fmt: skip
    (tmp_path / "model" / "model.safetensors").unlink()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(folders.CANARY)
    asking.append(tmp_path / "pack" / "seed-tasks.jsonl", '{"id": "seed-1", "instruction": "Twice."}\n')
    (tmp_path / "store").write_text("a file where a folder belongs")
    answer = check(asked)
    assert asking.fields(answer.problems) == {
        "spec.baseModel.uri",
        "spec.principles",
        "spec.stages.evaluation.suites[1].uri",
        "spec.stages.evaluation.suites[2].uri",
        "spec.artifacts.uri",
    }
    assert "pytorch_model.bin: pickled weights" in asking.told(answer, "spec.baseModel.uri")[0]
    assert asking.told(answer, "spec.artifacts.uri")[0].startswith("cannot be written to")
    assert answer.hits == {}


def test_a_pack_that_cannot_be_read_is_told_beside_a_misfit_model(tmp_path: Path) -> None:
    asked = asking.task(tmp_path)
    (tmp_path / "pack" / "principles.yaml").write_text("- number: one\n")
    (tmp_path / "model" / "tokenizer.json").unlink()
    answer = check(asked)
    assert asking.fields(answer.problems) == {"spec.principles", "spec.baseModel.uri"}
    assert "principles.yaml" in asking.told(answer, "spec.principles")[0]


def test_a_suite_in_another_format_than_said_is_told(tmp_path: Path) -> None:
    suite = {"name": "mine", "format": "hhh", "uri": "pack://adherence"}
    answer = check(asking.task(tmp_path, stages={"evaluation": {"suites": [suite], "gates": []}}))
    assert asking.fields(answer.problems) == {"spec.stages.evaluation.suites[0].uri"}


def test_a_pack_that_leaves_no_room_in_the_models_context_is_told_in_tokens(tmp_path: Path) -> None:
    asked = asking.task(tmp_path)
    config = folders.CONFIG | {"max_position_embeddings": 128}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (message,) = asking.told(check(asked), "spec.principles")
    assert "the model's context is 128" in message


def test_a_chat_model_is_a_warning_and_no_problem(tmp_path: Path) -> None:
    asked = asking.task(tmp_path)
    told = {"eos_token": "<end>", "chat_template": "{{ messages }}"}
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(told))
    answer = check(asked)
    assert answer.problems == ()
    assert any("chat template" in warning for warning in answer.warnings)


def test_a_hub_that_is_down_is_asked_again_unless_something_else_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub.serving(folders.contents()) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        asked = asking.task(tmp_path, baseModel={"uri": "hf://harbour/lantern", "revision": hub.COMMIT})
        assert check(asked).problems == ()
        served.down = True
        with pytest.raises(Unavailable):
            check(asked)
        (tmp_path / "pack" / "pack.yaml").unlink()
        assert asking.fields(check(asked).problems) == {"spec.principles"}


def test_a_private_model_names_the_field_that_takes_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub.serving(folders.contents()) as served:
        served.gated = True
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        answer = check(asking.task(tmp_path, baseModel={"uri": "hf://harbour/lantern", "revision": hub.COMMIT}))
        assert "spec.baseModel.secretRef" in asking.told(answer, "spec.baseModel.uri")[0]


def test_as_a_process_it_imports_no_engine_and_writes_its_whole_answer(tmp_path: Path) -> None:
    asked = asking.task(tmp_path)
    told = "import sys; from selfalign_stages import main; code = main.main(); print(*sys.modules); sys.exit(code)"
    ended = processes.wait(tmp_path, processes.start(tmp_path, "preflight", asked, program=("-c", told)))
    assert ended.code == 0
    assert PreflightResult.model_validate(ended.result) == check(asked)
    assert not {"torch", "transformers", "vllm", "peft", "boto3", "huggingface_hub"} & set(ended.log.split())


def test_as_a_process_it_exits_with_76_while_the_hub_is_down(tmp_path: Path) -> None:
    asked = asking.task(tmp_path, baseModel={"uri": "hf://harbour/lantern", "revision": hub.COMMIT})
    ended = processes.run(tmp_path, "preflight", asked, HF_ENDPOINT="http://127.0.0.1:9")
    assert (ended.code, ended.result["reason"]) == (76, "Unavailable")
