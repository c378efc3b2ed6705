"""Whole answering steps on a file store with a scripted engine: the prompts sent, the rows published, and resume."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.steps_support import ScriptedEngine, artifact, context, said

from selfalign_stages.answering import self_align, verbose
from selfalign_stages.artifacts import reading
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.graph import Kind
from selfalign_stages.contract.manifest import ArtifactRef, Manifest
from selfalign_stages.contract.parameters import AnswersParameters, Sampling, VerboseAnswersParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.engine.interface import Completion, Decoding, Request, seed_for
from selfalign_stages.pack import rendering
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.thought_grammar import thought_grammar
from selfalign_stages.step.context import StepContext
from selfalign_stages.tuning import examples

PACK, STARTER = load("builtin://hamlet"), load("builtin://starter")
KEY, SEED, NAME = "0" * 64, 7, "Ida"
SAMPLING = Sampling(temperature=0.3, top_p=0.7, max_tokens=40)
PROMPTS = [
    Prompt(id="p0", instruction="What colour is a plum?", source="topic-guided"),
    Prompt(id="p1", instruction="Sort these words.", input="pear, fig", source="self-instruct"),
    Prompt(id="p2", instruction="Name a bird.", source="self-instruct", reject="duplicate"),
    Prompt(id="p3", instruction="Where does an otter live?", source="topic-guided"),
]
KEPT = [PROMPTS[0], PROMPTS[1], PROMPTS[3]]
STOPS = {"answers": rendering.stop_strings(PACK), "verbose-answers": rendering.stop_strings()}


def step_context(folder: Path, kind: Kind, *, pack: str = "hamlet", **settings: Any) -> StepContext:
    parameters = {"answers": AnswersParameters, "verbose-answers": VerboseAnswersParameters}[kind]
    return context(
        folder,
        kind,
        key=KEY,
        seed=SEED,
        parameters=parameters(assistant_name=NAME, sampling=SAMPLING, **settings),
        inputs={"prompts": artifact(folder, "prompts", PROMPTS)},
        leaves={{"answers": "pack:rules", "verbose-answers": "pack:verbose"}[kind]: f"builtin://{pack}"},
    )


def rows(step: StepContext, manifest: Manifest) -> list[Answer]:
    return list(reading.rows(step.store, manifest, Answer, kept=False))


def think_and_answer(request: Request) -> Completion:
    return said(f"This asks about {request.seed}. I should follow rules 2 (informative).\n\n### Ida\nIt is so.")


def fill(text: str) -> str:
    return text.strip().replace("{assistantName}", NAME)


def in_order(prompt: str, texts: list[str]) -> str:
    """Asserts that `texts` occur in `prompt` one after the other; returns what follows the last of them."""
    for text in texts:
        before, occurs, prompt = prompt.partition(text)
        assert occurs, f"{text!r} does not follow the text before it: {before[:200]!r}"
    return prompt


def test_every_self_align_prompt_has_all_principles_and_exemplars_in_order_then_the_query(tmp_path: Path) -> None:
    engine = ScriptedEngine(think_and_answer)
    self_align.run(step_context(tmp_path, "answers"), load=engine.load)
    assert len(engine.requests) == len(KEPT)
    principles = [f"{p.number} ({p.name}). {fill(p.text)}\n" for p in PACK.principles]
    names = {p.name: f"{p.number} ({p.name})" for p in PACK.principles}
    turns = [
        text
        for exemplar in PACK.exemplars
        for turn in exemplar.turns
        for text in (
            f"### User\n{fill(turn.user)}\n\n",
            f"### {NAME} (internal thoughts)\n{fill(turn.thought or '')} ",
            f"{', '.join(names[rule] for rule in turn.rules)}.\n\n",
            f"### {NAME}\n{fill(turn.answer)}\n\n",
        )
    ]
    assert len(principles) == 8 and len(turns) >= 4 * 5
    for request, prompt in zip(engine.requests, KEPT, strict=True):
        rest = in_order(request.prompt, [fill(PACK.frames.introduction), *principles, *turns])
        # Nothing but the heading of the next example comes between the last exemplar and the query.
        heading = f"## Example {len(PACK.exemplars) + 1}"
        assert rest == f"{heading}\n\n### User\n{prompt.text}\n\n### Ida (internal thoughts)\n"


def test_every_verbose_prompt_has_the_verbose_system_prompt_the_query_and_the_verbose_name(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: said("It is so, and there is more to it."))
    verbose.run(step_context(tmp_path, "verbose-answers"), load=engine.load)
    system, teacher = fill(PACK.frames.verbose), fill(PACK.frames.verbose_name)
    assert "answers at length" in system and teacher == "Ida (in depth)"
    expected = [f"{system}\n\n### User\n{prompt.text}\n\n### {teacher}\n" for prompt in KEPT]
    assert engine.prompts == expected


@pytest.mark.parametrize(("kind", "model"), [("answers", "baseModel"), ("verbose-answers", "teacher")])
def test_answers_come_from_the_right_model_with_a_seed_per_prompt_and_real_stops(
    kind: Kind, model: str, tmp_path: Path
) -> None:
    engine = ScriptedEngine(think_and_answer if kind == "answers" else lambda request: said("It is so."))
    {"answers": self_align.run, "verbose-answers": verbose.run}[kind](step_context(tmp_path, kind), load=engine.load)
    assert engine.loaded == [model]
    assert [request.seed for request in engine.requests] == [seed_for(KEY, p.id, seed=SEED) for p in KEPT]
    assert engine.decodings == [Decoding(temperature=0.3, top_p=0.7, max_tokens=40, stop=STOPS[kind])]


def test_rejected_prompts_are_not_answered_and_rejected_answers_stay_with_their_reason(tmp_path: Path) -> None:
    def one_without_answer(request: Request) -> Completion:
        return said("nonsense") if "plum" in request.prompt[-80:] else think_and_answer(request)

    step = step_context(tmp_path, "answers")
    manifest = self_align.run(step, load=ScriptedEngine(one_without_answer).load)
    assert [(row.id, row.prompt, row.reject) for row in rows(step, manifest)] == [
        ("p0", PROMPTS[0], "no-answer"),
        ("p1", PROMPTS[1], None),
        ("p3", PROMPTS[3], None),
    ]
    assert (manifest.counts.rows, manifest.counts.kept, manifest.counts.rejected) == (3, 2, {"no-answer": 1})
    assert {row.answer for row in rows(step, manifest) if not row.reject} == {"It is so."}


def test_cut_verbose_answers_are_rejected_and_never_trained_on(tmp_path: Path) -> None:
    def one_cut(request: Request) -> Completion:
        cut = "Sort these words." in request.prompt
        return said("A long answer that", finish="length") if cut else said("A long answer that ends.")

    step = step_context(tmp_path, "verbose-answers")
    manifest = verbose.run(step, load=ScriptedEngine(one_cut).load)
    assert {row.id: row.reject for row in rows(step, manifest)} == {"p0": None, "p1": "cut", "p3": None}
    assert manifest.counts.rejected == {"cut": 1}
    # What step train reads of the artifact; tests/stages/tuning covers its side.
    assert [row.id for row in reading.rows(step.store, manifest, Answer)] == ["p0", "p3"]


@pytest.mark.parametrize("kind", ["answers", "verbose-answers"])
def test_a_step_resumes_after_its_committed_chunks_and_loads_no_engine_when_all_are_there(
    kind: Kind, tmp_path: Path
) -> None:
    run = {"answers": self_align.run, "verbose-answers": verbose.run}[kind]
    reply = think_and_answer if kind == "answers" else (lambda request: said("It is so."))

    def die_at_the_last(request: Request) -> Completion:
        if "otter" in request.prompt[-80:]:
            raise RuntimeError("killed")
        return reply(request)

    with pytest.raises(RuntimeError, match="killed"):
        run(step_context(tmp_path, kind, chunk_size=1), load=ScriptedEngine(die_at_the_last).load)
    resumed, finished = ScriptedEngine(reply), ScriptedEngine(reply)
    manifest = run(step_context(tmp_path, kind, chunk_size=1), load=resumed.load)
    assert [request.seed for request in resumed.requests] == [seed_for(KEY, "p3", seed=SEED)]
    assert run(step_context(tmp_path, kind, chunk_size=1), load=finished.load) == manifest
    assert finished.loaded == []


def test_chunk_size_changes_neither_seeds_nor_answers(tmp_path: Path) -> None:
    answers = []
    for size in (1, 2, 256):
        step = step_context(tmp_path / str(size), "answers", chunk_size=size)
        answers.append(rows(step, self_align.run(step, load=ScriptedEngine(think_and_answer).load)))
    assert answers[0] == answers[1] == answers[2]
    assert len({row.thought for row in answers[0]}) == 3  # each has a seed of its own


@pytest.mark.parametrize(
    ("kind", "field"), [("answers", "stages.selfAlign"), ("verbose-answers", "stages.cloning.generation")]
)
def test_all_rejected_is_a_failure_with_counts_limit_and_field(kind: Kind, field: str, tmp_path: Path) -> None:
    step = step_context(tmp_path, kind)
    engine = ScriptedEngine(lambda request: said("so " * 20, finish="length"))
    run = {"answers": self_align.run, "verbose-answers": verbose.run}[kind]
    with pytest.raises(BadInput, match=rf"3 of 3 answers were rejected \(cut 3\), limit 95 % \({field}\.max") as caught:
        run(step, load=engine.load)
    assert caught.value.reason == "YieldTooLow"
    assert caught.value.counts is not None and caught.value.counts.rejected == {"cut": 3}
    ref = ArtifactRef(kind=kind, key=KEY)
    assert reading.read_manifest(step.store, ref) is None
    chunks = Chunks(step, Answer, total=3, size=256)
    assert [row.reject for row in chunks.rows()] == ["cut"] * 3  # the rows stay for inspection


def test_more_rejects_than_allowed_are_a_failure_and_fewer_are_not(tmp_path: Path) -> None:
    def two_of_three(request: Request) -> Completion:
        return think_and_answer(request) if "plum" in request.prompt[-80:] else said("nonsense")

    allowed = step_context(tmp_path / "allowed", "answers", max_reject_ratio=0.67)
    assert self_align.run(allowed, load=ScriptedEngine(two_of_three).load).counts.kept == 1
    with pytest.raises(BadInput, match=r"2 of 3 answers were rejected \(no-answer 2\), limit 66 %"):
        self_align.run(
            step_context(tmp_path / "refused", "answers", max_reject_ratio=0.66), load=ScriptedEngine(two_of_three).load
        )


def test_the_thought_of_the_teacher_is_kept_apart_from_its_answer_and_one_without_an_end_is_rejected(
    tmp_path: Path,
) -> None:
    # The words of a thought are a leak in an answer.
    thought = "This asks about words. I should follow rules 2 (informative)."

    def thinks(request: Request) -> Completion:
        if "otter" in request.prompt:
            return said(f"<think>\n{thought} It lives in rivers.")
        return said(f"<think>\n{thought}\n</think>\n\nIt is so, at length.")

    step = step_context(tmp_path, "verbose-answers", thoughts=True)
    engine = ScriptedEngine(thinks)
    manifest = verbose.run(step, load=engine.load)
    assert all(prompt.endswith("\n\n### Ida (in depth)\n") for prompt in engine.prompts)
    kept, other, malformed = rows(step, manifest)
    assert [(row.thought, row.answer, row.reject) for row in (kept, other)] == [
        (thought, "It is so, at length.", None)
    ] * 2
    assert (malformed.thought, malformed.reject) == ("", "malformed-thought")
    assert manifest.counts.rejected == {"malformed-thought": 1}
    # Step train of cloning, which asks for no thoughts, reads the answer alone.
    pairs = examples.answer_pairs(list(reading.rows(step.store, manifest, Answer)))
    texts = [examples.training_text(pair, assistant_name=NAME, eos_token="<e>")[0] for pair in pairs]
    assert all(text.endswith("### Ida\nIt is so, at length.<e>") for text in texts)


def test_mean_length_of_kept_answers_is_a_metric(tmp_path: Path) -> None:
    manifest = verbose.run(
        step_context(tmp_path, "verbose-answers"),
        load=ScriptedEngine(lambda request: said("one two three four five six")).load,
    )
    assert json.loads(json.dumps(manifest.metrics)) == {"meanTokens": 6.0}


def at_once(request: Request) -> Completion:
    return said(f"It is so, {request.seed}.")


def test_a_pack_without_thoughts_is_asked_for_the_answer_at_once_and_no_rule_choice_is_tested(tmp_path: Path) -> None:
    engine = ScriptedEngine(at_once)
    step = step_context(tmp_path, "answers", pack="starter")
    manifest = self_align.run(step, load=engine.load)
    for request, prompt in zip(engine.requests, KEPT, strict=True):
        assert request.prompt.endswith(f"## Example 20\n\n### User\n{prompt.text}\n\n### Ida\n")
        assert "internal thoughts" not in request.prompt
        in_order(request.prompt, [turn.answer for turn in STARTER.turns])
    assert [(row.thought, row.rules, row.reject) for row in rows(step, manifest)] == [("", (), None)] * 3
    assert engine.pairs == [] and "ruleChoice" not in manifest.metrics


def test_the_metrics_tell_what_the_check_before_training_compares(tmp_path: Path) -> None:
    manifest = self_align.run(step_context(tmp_path, "answers"), load=ScriptedEngine(think_and_answer).load)
    shares = {name: manifest.metrics[name] for name in ("keptShare", "refusalShare", "loopShare", "languageShare")}
    assert shares == {"keptShare": 1.0, "refusalShare": 0.0, "loopShare": 0.0, "languageShare": 1.0}
    assert manifest.metrics["distinctAnswers"] == pytest.approx(1 / 3, abs=1e-3)
    assert manifest.metrics["renumberedShare"] == 0.0
    assert 0 <= float(manifest.metrics["ruleChoice"]) <= 1


def test_several_samples_have_seeds_of_their_own_and_the_one_that_agrees_is_published(tmp_path: Path) -> None:
    seeds = [seed_for(KEY, name, seed=SEED) for p in KEPT for name in (p.id, f"{p.id}/1", f"{p.id}/2")]
    answers = dict(zip(seeds, ["It is blue.", "I cannot say.", "It is blue."] * 3, strict=True))
    engine = ScriptedEngine(lambda request: said(answers[request.seed]))
    step = step_context(tmp_path, "answers", pack="starter", samples=3, chunk_size=2)
    manifest = self_align.run(step, load=engine.load)
    assert [request.seed for request in engine.requests] == seeds
    assert [(row.id, row.answer, row.reject) for row in rows(step, manifest)] == [
        (prompt.id, "It is blue.", None) for prompt in KEPT
    ]
    assert (manifest.counts.rows, manifest.counts.kept) == (3, 3)


def test_samples_are_resumed_and_the_selection_repeated_without_a_model(tmp_path: Path) -> None:
    def run_again() -> tuple[list[str], Manifest]:
        engine = ScriptedEngine(at_once)
        settings = {"samples": 2, "chunk_size": 1, "limit_share": 0.5}
        step = step_context(tmp_path, "answers", pack="starter", **settings)
        return engine.loaded, self_align.run(step, load=engine.load)

    (first, made), (second, repeated) = run_again(), run_again()
    assert (first, second) == (["baseModel"], []) and made == repeated


def attempted(answers: dict[str, str]) -> ScriptedEngine:
    """An engine that writes a text for every attempt, by prompt id and, from the second on, number of the attempt."""
    by_seed = {seed_for(KEY, name, seed=SEED): text for name, text in answers.items()}
    return ScriptedEngine(lambda request: said(by_seed[request.seed]))


def test_a_rejected_answer_is_generated_again_until_one_is_sound_and_the_others_are_not(tmp_path: Path) -> None:
    echo, other = PROMPTS[0].text, PROMPTS[3].text
    engine = attempted(
        {"p0": echo, "p0/2": "", "p0/3": "It is blue.", "p1": "Fig, pear.", "p3": other, "p3/2": "In rivers."}
    )
    step = step_context(tmp_path, "answers", pack="starter", attempts=3, chunk_size=2)
    manifest = self_align.run(step, load=engine.load)
    assert [(row.id, row.answer, row.reject) for row in rows(step, manifest)] == [
        ("p0", "It is blue.", None),
        ("p1", "Fig, pear.", None),
        ("p3", "In rivers.", None),
    ]
    assert len(engine.requests) == 6
    assert (manifest.counts.rows, manifest.counts.kept) == (3, 3)


def test_an_answer_that_no_attempt_mends_is_rejected_for_its_first_reason(tmp_path: Path) -> None:
    engine = attempted({"p0": PROMPTS[0].text, "p0/2": "", "p1": "Fig, pear.", "p3": "In rivers."})
    step = step_context(tmp_path, "answers", pack="starter", attempts=2)
    manifest = self_align.run(step, load=engine.load)
    assert manifest.counts.rejected == {"echo": 1}


def test_attempts_are_resumed_without_a_model(tmp_path: Path) -> None:
    engine = attempted({"p0": PROMPTS[0].text, "p0/2": "It is blue.", "p1": "Fig, pear.", "p3": "In rivers."})
    step = step_context(tmp_path, "answers", pack="starter", attempts=2)
    made = self_align.run(step, load=engine.load)
    again = ScriptedEngine(at_once)
    assert self_align.run(step_context(tmp_path, "answers", pack="starter", attempts=2), load=again.load) == made
    assert again.loaded == []


def test_limits_beyond_the_chosen_share_are_rejected_and_counted(tmp_path: Path) -> None:
    def declines_twice(request: Request) -> Completion:
        return at_once(request) if "otter" in request.prompt[-80:] else said("I do not know that.")

    step = step_context(tmp_path, "answers", pack="starter", limit_share=0.5)
    manifest = self_align.run(step, load=ScriptedEngine(declines_twice).load)
    assert manifest.counts.rejected == {"surplus-limit": 1}
    assert manifest.metrics["refusalShare"] == 0.5


def test_a_constrained_thought_is_requested_by_its_grammar(tmp_path: Path) -> None:
    engine = ScriptedEngine(think_and_answer)
    self_align.run(step_context(tmp_path, "answers", thought="constrained"), load=engine.load)
    grammar = thought_grammar(load("builtin://hamlet"), assistant_name=NAME)
    assert [decoding.grammar for decoding in engine.decodings] == [grammar]


def test_thoughts_under_a_pack_without_any_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    engine = ScriptedEngine(at_once)
    with pytest.raises(BadInput, match=r"stages\.selfAlign\.thought: free needs exemplars with thoughts"):
        self_align.run(step_context(tmp_path, "answers", pack="starter", thought="free"), load=engine.load)
    assert engine.loaded == []
