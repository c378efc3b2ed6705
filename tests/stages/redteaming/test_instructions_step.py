"""Step instructions on a file store with a scripted engine: what is published, with which seeds, and resume."""

import re
from collections import Counter
from pathlib import Path

import pytest
from tests.stages.redteaming.step_builders import (
    KEY,
    PACK,
    SAMPLING,
    SEED,
    Killed,
    forbidden,
    published_rows,
    step_context,
    until_killed,
)
from tests.steps_support import ScriptedEngine, said

from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import InstructionsParameters
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.engine.interface import Completion, Request, seed_for
from selfalign_stages.redteaming import instructions

INSTRUCTIONS = InstructionsParameters(instructions=400, rounds=2, dedup_rouge_l=0.7, sampling=SAMPLING)
FIRST_ROUND = 58  # 400 tasks / 2 rounds / 4 per completion x 1.15


def name_tasks(request: Request) -> Completion:
    """Two new tasks, one that every completion has, one beyond text, one without input line, and one that is cut."""
    first = int(request.prompt.rpartition("Task ")[2].removesuffix(":"))
    one, two = (
        f"Tell {request.seed} about river {request.seed + 1}",
        f"Sing {request.seed + 2} {request.seed + 3} words now",
    )
    tasks = [(one, "(none)"), (two, "a b"), ("Count all stones in the yard", "(none)"), ("Draw a big map", "(none)")]
    text = "".join(f"Task {n}: {task}\nInput {n}: {input}\n\n" for n, (task, input) in enumerate(tasks, start=first))
    text += f"Task {first + 4}: Without an input line\n\nTask {first + 5}: Cu"
    return said(text.removeprefix(f"Task {first}:"), finish="length")


def make_instructions(
    folder: Path, engine: ScriptedEngine, settings: InstructionsParameters = INSTRUCTIONS
) -> tuple[Manifest, list[Prompt]]:
    step = step_context(folder, "instructions", settings)
    manifest = instructions.run(step, load=engine.load)
    return manifest, published_rows(step, manifest, Prompt)


def test_tasks_are_published_with_inputs_seeds_and_every_reject_reason(tmp_path: Path) -> None:
    engine = ScriptedEngine(name_tasks)
    manifest, published = make_instructions(tmp_path, engine, INSTRUCTIONS.model_copy(update={"rounds": 1}))
    completions = len(engine.requests)
    assert completions == 115  # 400 / 4 x 1.15
    reasons = Counter(prompt.reject for prompt in published)
    assert reasons == {None: 2 * completions + 1, "duplicate": completions - 1, "beyond-text": completions}
    # Two items of each completion have no row, but are counted: one without input line, and the cut one.
    assert manifest.counts.rejected == {
        "cut": 2 * completions,
        "beyond-text": completions,
        "duplicate": completions - 1,
    }
    assert (manifest.counts.rows, manifest.counts.kept) == (6 * completions, 2 * completions + 1)
    assert [prompt.id for prompt in published[:4]] == ["task-1-0-0", "task-1-0-1", "task-1-0-2", "task-1-0-3"]
    assert [prompt.input for prompt in published[:3]] == ["", "a b", ""]
    assert {prompt.source for prompt in published} == {"self-instruct"}
    seed_ids = {task.id for task in PACK.seed_tasks}
    assert all(len(prompt.seeds) == 6 and set(prompt.seeds) <= seed_ids for prompt in published)


def test_task_lists_run_past_the_end_token_with_a_seed_each(tmp_path: Path) -> None:
    engine = ScriptedEngine(name_tasks)
    make_instructions(tmp_path, engine)
    assert {decoding.ignore_eos for decoding in engine.decodings} == {True}
    first_round = engine.requests[:FIRST_ROUND]
    assert [r.seed for r in first_round] == [seed_for(KEY, f"1-{n}", seed=SEED) for n in range(FIRST_ROUND)]
    assert engine.loaded == ["baseModel"]


def test_from_round_two_on_prompts_show_two_machine_made_tasks_among_six_seeds(tmp_path: Path) -> None:
    engine = ScriptedEngine(name_tasks)
    _, published = make_instructions(tmp_path, engine)
    kept_of_round_one = {p.id for p in published if p.id.startswith("task-1-") and p.reject is None}
    of_round_two = [p for p in published if p.id.startswith("task-2-")]
    assert of_round_two
    for prompt in of_round_two:
        machine = [name for name in prompt.seeds if name.startswith("task-")]
        assert (len(prompt.seeds), len(machine)) == (8, 2)
        assert set(machine) <= kept_of_round_one
    by_instruction = {p.instruction for p in published if p.id in kept_of_round_one}
    shown = re.findall(r"^Task \d+: (.+)$", engine.requests[FIRST_ROUND].prompt, re.MULTILINE)
    assert len(shown) == 8 and len(by_instruction & set(shown)) == 2


def test_no_further_round_begins_when_enough_tasks_are_kept(tmp_path: Path) -> None:
    def ten_tasks(request: Request) -> Completion:
        first = int(request.prompt.rpartition("Task ")[2].removesuffix(":"))
        tasks = [f"Name {request.seed} {request.seed + n} {request.seed + n + 50} birds" for n in range(1, 11)]
        text = "".join(f"Task {n}: {task}\nInput {n}: (none)\n\n" for n, task in enumerate(tasks, start=first))
        return said(text.removeprefix(f"Task {first}:"))

    engine = ScriptedEngine(ten_tasks)
    manifest, _ = make_instructions(tmp_path, engine, INSTRUCTIONS.model_copy(update={"instructions": 20, "rounds": 9}))
    assert manifest.counts.kept == 20
    assert len(engine.requests) == 2  # one completion in each of two rounds, where nine are allowed


def test_killed_instructions_continue_after_the_last_whole_chunk_and_give_the_same_bytes(tmp_path: Path) -> None:
    uninterrupted = ScriptedEngine(name_tasks)
    whole, _ = make_instructions(tmp_path / "whole", uninterrupted)
    with pytest.raises(Killed):
        make_instructions(tmp_path / "killed", until_killed(name_tasks, after=instructions.CHUNK_SIZE + 1))
    resumed = ScriptedEngine(name_tasks)
    manifest, _ = make_instructions(tmp_path / "killed", resumed)
    assert resumed.requests == uninterrupted.requests[instructions.CHUNK_SIZE :]
    assert manifest.files == whole.files


def test_instructions_whose_drafts_are_all_there_load_no_engine(tmp_path: Path) -> None:
    first, _ = make_instructions(tmp_path, ScriptedEngine(name_tasks))
    second = ScriptedEngine(forbidden)
    assert make_instructions(tmp_path, second)[0] == first
    assert second.loaded == []
