"""Answering: prompts rendered, completions judged, chunks committed, empty results refused."""

from pathlib import Path

import pytest
from tests.steps_support import ScriptedEngine, artifact, context, said

from selfalign_stages.answering import conversation, self_align, verbose
from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.exits import BadInput, Interrupted
from selfalign_stages.contract.manifest import ArtifactRef
from selfalign_stages.contract.parameters import AnswersParameters, Sampling
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine import generation
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.pack.leaks import Leaks
from selfalign_stages.pack.loading import load

PACK = load("builtin://hamlet")
PROMPT = Prompt(id="p", instruction="What colour is a plum?", source="topic-guided")
THOUGHT = "This asks for a fact about the plum. I should follow rules 2 (informative).\n\n### Ida\n"
judge = self_align.judging(PACK, assistant_name="Ida")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (said(THOUGHT + "A plum is purple."), None),
        (said(" " + THOUGHT + "A plum is purple."), None),
        (said(THOUGHT + "A plum is", finish="length"), "cut"),
        (Completion(text="", finish_reason="abort", tokens=0), "too-long"),
        (said("A plum is purple."), "no-answer"),
        (said(THOUGHT + "purple " * 14), "loop"),
        (said(THOUGHT + "I should follow rules 2 (informative)."), "leak-marker"),
        (said(THOUGHT + "What colour is a plum?"), "echo"),
        (said(THOUGHT + "I'm sorry, I cannot help with that."), "unjustified-refusal"),
    ],
)
def test_answers_are_judged_with_a_reason(completion: Completion, reason: str | None) -> None:
    assert judge(PROMPT, completion).reject == reason


def test_rule_numbers_and_thought_are_kept_with_the_row() -> None:
    row = judge(PROMPT, said(THOUGHT + "A plum is purple."))
    assert (row.rules, row.answer) == ((2,), "A plum is purple.")
    assert row.thought.startswith("This asks")


def test_trap_2_completeness_comes_from_the_finish_reason_not_from_a_label() -> None:
    text = THOUGHT + "A plum is purple."
    assert judge(PROMPT, said(text, finish="stop")).reject is None
    assert judge(PROMPT, said(text, finish="length")).reject == "cut"


def test_a_verbose_answer_must_not_speak_of_its_prompt() -> None:
    leaks = Leaks.of(PACK, assistant_name="Ida")
    assert verbose.judge(PROMPT, said("As Ida (in depth) I say purple."), leaks=leaks).reject == "leak-marker"
    assert verbose.judge(PROMPT, said(""), leaks=leaks).reject == "empty"
    assert verbose.judge(PROMPT, said("A plum is purple, and ripe plums are sweet."), leaks=leaks).reject is None


def drafts(count: int) -> list[Prompt]:
    return [Prompt(id=f"p{n}", instruction=f"Ask {n}", source="self-instruct") for n in range(count)]


class Killed(Exception):
    """Stands for the end of a process."""


def generate(folder: Path, engine: ScriptedEngine, *, deterministic: bool = False, stop_after: int = 10**9) -> None:
    made = context(folder, "answers", stop_requested=lambda: len(engine.prompts) > stop_after)
    chunks = Chunks(made, Answer, total=25, size=10)
    prompts = drafts(25)
    generation.run(
        made,
        lambda: engine,
        chunks,
        request=lambda n: Request(prompt=prompts[n].text, seed=seed_for("key", prompts[n].id, seed=1)),
        row=lambda n, c: Answer(id=prompts[n].id, prompt=prompts[n], answer=c.text, finish_reason="stop", tokens=1),
        decoding=Decoding(temperature=0, top_p=1, max_tokens=5),
        deterministic=deterministic,
    )
    chunks.finish()


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_stopped_step_goes_on_from_its_last_whole_chunk(deterministic: bool, tmp_path: Path) -> None:
    first, second = ScriptedEngine(lambda p: said(p.upper())), ScriptedEngine(lambda p: said(p.upper()))
    with pytest.raises(Interrupted):
        generate(tmp_path, first, stop_after=14, deterministic=deterministic)
    generate(tmp_path, second, deterministic=deterministic)
    assert second.prompts == [f"Ask {n}" for n in range(10, 25)]
    made = context(tmp_path, "answers")
    manifest = reading.require_manifest(made.store, artifact_ref(made.task.key))
    assert [r.answer for r in reading.rows(made.store, manifest, Answer)] == [f"ASK {n}" for n in range(25)]


def artifact_ref(key: str) -> ArtifactRef:
    return ArtifactRef(kind="answers", key=key)


def test_a_finished_step_never_opens_an_engine(tmp_path: Path) -> None:
    generate(tmp_path, ScriptedEngine(said))
    unused = ScriptedEngine(said)
    generate(tmp_path, unused)
    assert unused.prompts == []


def test_trap_16_sampling_seeds_differ_by_record_and_not_by_worker() -> None:
    seeds = {seed_for("key", f"p{n}", seed=1) for n in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_for("key", "p1", seed=1) == seed_for("key", "p1", seed=1) != seed_for("key", "p1", seed=2)


def test_all_rejected_is_a_failure_with_its_counts(tmp_path: Path) -> None:
    prompts = artifact(tmp_path, "prompts", drafts(5))
    settings = AnswersParameters(assistant_name="Ida", sampling=Sampling(max_tokens=5))
    made = context(
        tmp_path, "answers", parameters=settings, inputs={"prompts": prompts}, leaves={"pack:rules": "builtin://hamlet"}
    )
    chunks = Chunks(made, Answer, total=5, size=settings.chunk_size)
    chunks.commit(0, [judge(p, said("nonsense")).model_copy(update={"id": p.id}) for p in drafts(5)])
    with pytest.raises(BadInput, match="5 of 5 answers were rejected .*'no-answer': 5") as caught:
        self_align.run(made)
    assert caught.value.reason == "AllRejected"
    assert reading.read_manifest(made.store, artifact_ref(made.task.key)) is None
    assert conversation.CUT["length"] == "cut"
