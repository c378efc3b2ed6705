"""Preflight reports every problem at once by its field, resolves the leaves, and lists the finished steps."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.stages.artifacts import damages
from tests.stages.base_model import folders, hub
from tests.stages.main import processes
from tests.stages.preflight import asking

from selfalign_stages import builtin
from selfalign_stages.artifacts.file_store import FileStore
from selfalign_stages.contract import graph
from selfalign_stages.contract.exits import Unavailable
from selfalign_stages.contract.task import PreflightResult, PreflightTask
from selfalign_stages.preflight.check import check


def test_a_fit_run_has_digests_for_all_leaves_and_no_finished_steps(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    result = check(task)
    assert result.problems == ()
    assert result.hits == {}
    assert result.leaves.keys() == task.leaves.keys()
    assert all(digest.startswith("sha256:") for digest in result.leaves.values())


def test_every_step_whose_artifact_is_in_the_store_is_a_hit(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    result = check(task)
    for id_ in ("redteaming-topics", "engraving-train"):
        asking.publish(task, result, id_)
    hits = check(task).hits
    keys = graph.keys(task.steps, leaves=result.leaves, seed=task.seed)
    assert {id_: (result.cache, result.key) for id_, result in hits.items()} == {
        "redteaming-topics": ("Hit", keys["redteaming-topics"]),
        "engraving-train": ("Hit", keys["engraving-train"]),
    }
    assert hits["engraving-train"].metrics == {"loss": 1.5}


def test_weights_that_somebody_put_under_the_key_of_a_base_model_are_no_hit(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    asking.publish(task, check(task), "import")
    result = check(task)
    assert result.hits == {}
    assert [warning for warning in result.warnings if "its files are not those of the base model" in warning]


def test_a_damaged_artifact_is_a_warning_that_names_the_step_that_runs_again(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    asking.publish(task, check(task), "redteaming-topics")
    (manifest,) = (tmp_path / "store").rglob("manifest.json")
    damages.apply(manifest, "flip")
    result = check(task)
    assert result.hits == {}
    assert [one for one in result.warnings if one.startswith("redteaming-topics: runs again: cas/topics/")]


def test_a_store_that_cannot_be_written_refuses_only_a_run_that_has_steps_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = asking.task(tmp_path)
    topics = next(step for step in task.steps if step.id == "redteaming-topics").model_copy(update={"inputs": {}})
    leaves = {name: leaf for name, leaf in task.leaves.items() if not name.startswith("suite:")}
    task = task.model_copy(update={"steps": (topics,), "leaves": leaves})

    def refuse(_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "/store")

    monkeypatch.setattr(FileStore, "probe", refuse)
    assert asking.messages(check(task), "spec.artifacts.uri") == ["cannot be used: Read-only file system: /store"]
    asking.publish(task, check(task), "redteaming-topics")
    result = check(task)
    assert (result.problems, list(result.hits)) == ((), ["redteaming-topics"])


def test_keys_depend_on_content_so_that_a_copy_elsewhere_hits_the_same_steps(tmp_path: Path) -> None:
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


def test_all_problems_are_reported_at_once_by_field(tmp_path: Path) -> None:
    task = asking.task(
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
    result = check(task)
    assert asking.fields(result.problems) == {
        "spec.baseModel.uri",
        "spec.principles",
        "spec.stages.evaluation.suites[1].uri",
        "spec.stages.evaluation.suites[2].uri",
        "spec.artifacts.uri",
    }
    assert "pytorch_model.bin: pickled weights" in asking.messages(result, "spec.baseModel.uri")[0]
    assert asking.messages(result, "spec.artifacts.uri")[0].startswith("cannot be used")
    assert result.hits == {}


def test_an_unreadable_pack_is_reported_beside_an_unfit_model(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    (tmp_path / "pack" / "principles.yaml").write_text("- number: one\n")
    (tmp_path / "model" / "tokenizer.json").unlink()
    result = check(task)
    assert asking.fields(result.problems) == {"spec.principles", "spec.baseModel.uri"}
    assert "principles.yaml" in asking.messages(result, "spec.principles")[0]


def test_a_suite_in_another_format_than_declared_is_refused(tmp_path: Path) -> None:
    suite = {"name": "mine", "format": "hhh", "uri": "pack://adherence"}
    result = check(asking.task(tmp_path, stages={"evaluation": {"suites": [suite], "gates": []}}))
    assert asking.fields(result.problems) == {"spec.stages.evaluation.suites[0].uri"}


def test_a_pack_that_exceeds_the_models_context_is_reported_in_tokens(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    config = folders.CONFIG | {"max_position_embeddings": 128}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (message,) = asking.messages(check(task), "spec.principles")
    assert "the context window is 128" in message


def test_a_chat_model_is_a_warning_and_not_a_problem(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    tokenizer_config = {"eos_token": "<end>", "chat_template": "{{ messages }}"}
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    result = check(task)
    assert result.problems == ()
    assert any("chat template" in warning for warning in result.warnings)


def test_a_hub_that_is_down_is_retried_unless_something_else_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub.serving(folders.contents()) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        task = asking.task(tmp_path, baseModel={"uri": "hf://harbour/lantern", "revision": hub.COMMIT})
        assert check(task).problems == ()
        served.down = True
        with pytest.raises(Unavailable):
            check(task)
        (tmp_path / "pack" / "pack.yaml").unlink()
        assert asking.fields(check(task).problems) == {"spec.principles"}


def test_a_private_model_names_the_field_that_takes_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub.serving(folders.contents()) as served:
        served.gated = True
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        result = check(asking.task(tmp_path, baseModel={"uri": "hf://harbour/lantern", "revision": hub.COMMIT}))
        assert "spec.baseModel.secretRef" in asking.messages(result, "spec.baseModel.uri")[0]


def test_as_a_process_it_imports_no_engine_and_writes_its_whole_result(tmp_path: Path) -> None:
    task = asking.task(tmp_path)
    program = "import sys; from selfalign_stages import main; code = main.main(); print(*sys.modules); sys.exit(code)"
    ended = processes.wait(tmp_path, processes.start(tmp_path, "preflight", task, program=("-c", program)))
    assert ended.code == 0
    assert PreflightResult.model_validate(ended.result) == check(task)
    assert not {"torch", "transformers", "vllm", "peft", "boto3", "huggingface_hub"} & set(ended.log.split())


def test_as_a_process_it_exits_with_76_while_the_hub_is_down(tmp_path: Path) -> None:
    task = asking.task(tmp_path, baseModel={"uri": "hf://harbour/lantern", "revision": hub.COMMIT})
    ended = processes.run(tmp_path, "preflight", task, HF_ENDPOINT="http://127.0.0.1:9")
    assert (ended.code, ended.result["reason"]) == (76, "Unavailable")


def test_thoughts_that_no_exemplar_shows_are_refused_and_without_them_the_pack_passes(tmp_path: Path) -> None:
    def asked(thought: str) -> PreflightTask:
        return asking.task(tmp_path, principles={"builtin": "starter"}, stages={"selfAlign": {"thought": thought}})

    (message,) = asking.messages(check(asked("free")), "spec.stages.selfAlign.thought")
    assert "needs exemplars with thoughts" in message and "set it to none" in message
    assert asking.messages(check(asked("none")), "spec.stages.selfAlign.thought") == []


def test_a_training_on_thoughts_that_the_pack_does_not_have_is_refused_and_both_remedies_help(tmp_path: Path) -> None:
    field = "spec.stages.engraving.thoughts"

    def asked(pack: str, thoughts: bool) -> PreflightTask:
        stages: dict[str, Any] = {"engraving": {"thoughts": thoughts}}
        return asking.task(tmp_path, principles={"builtin": pack}, stages=stages)

    (message,) = asking.messages(check(asked("starter", True)), field)
    assert "pack starter has no exemplars with thoughts" in message
    assert "set it to false, or use a pack with thoughts" in message
    assert asking.messages(check(asked("starter", False)), field) == []
    assert asking.messages(check(asked("dromedary-16", True)), field) == []


def test_a_training_on_thoughts_whose_tags_the_tokenizer_drops_is_refused_and_both_remedies_help(
    tmp_path: Path,
) -> None:
    field, tokenizer = "spec.stages.engraving.thoughts", folders.byte_level()

    def asked(*, thoughts: bool = True) -> list[str]:
        return asking.messages(check(asking.task(tmp_path, stages={"engraving": {"thoughts": thoughts}})), field)

    assert asked() == []
    tokenizer.add_special_tokens(["<think>", "</think>"])
    (tmp_path / "model" / "tokenizer.json").write_text(tokenizer.to_str())
    (message,) = asked()
    assert "drops <think> and </think>" in message and "set it to false, or use another base model" in message
    assert asked(thoughts=False) == []
    own_tokens = folders.byte_level()
    own_tokens.add_tokens(["<think>", "</think>"])  # as in Qwen 3: tokens, but no special ones
    (tmp_path / "model" / "tokenizer.json").write_text(own_tokens.to_str())
    assert asked() == []


def test_a_context_window_beyond_the_model_s_is_refused_with_both_figures_and_the_remedy_works(tmp_path: Path) -> None:
    result = check(asking.task(tmp_path, engine={"contextLength": 65_536}))
    (message,) = asking.messages(result, "spec.engine.contextLength")
    assert "the base model's context is 32768 tokens" in message
    assert check(asking.task(tmp_path, engine={"contextLength": 32_768})).problems == ()


def test_the_pack_s_budget_is_that_of_the_chosen_context_window(tmp_path: Path) -> None:
    (message,) = asking.messages(check(asking.task(tmp_path, engine={"contextLength": 1024})), "spec.principles")
    assert "the context window is 1024" in message and "raise spec.engine.contextLength" in message


def test_lora_targets_that_the_model_lacks_are_refused_with_those_it_has(tmp_path: Path) -> None:
    files = folders.contents()
    tensors = folders.TENSORS | {"model.layers.0.self_attn.qkv_proj.weight": (12, 4)}
    folders.write(tmp_path / "model", files | {"model.safetensors": folders.safetensors(tensors)})
    shutil.copytree(builtin.folder("packs", "dromedary-16"), tmp_path / "pack")
    stages: dict[str, Any] = {
        "engraving": {"targets": ["q_proj", "qkv_proj"]},
        "cloning": {"training": {"targets": ["qkv_proj"]}},
    }
    (problem,) = check(asking.task(tmp_path, stages=stages)).problems
    assert (problem.field, problem.value) == ("spec.stages.engraving.targets", "q_proj")
    assert "it has qkv_proj" in problem.message
    stages["engraving"]["targets"] = ["qkv_proj"]  # the remedy
    assert check(asking.task(tmp_path, stages=stages)).problems == ()
