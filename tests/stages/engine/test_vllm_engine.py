"""The real engine on the small base model: one load, then everything that steps rely on."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.steps_support import context

from selfalign_stages import builtin, chat
from selfalign_stages.artifacts.chunks import Chunks
from selfalign_stages.contract.exits import DoesNotFit, Interrupted
from selfalign_stages.contract.manifest import Manifest
from selfalign_stages.contract.parameters import Variant
from selfalign_stages.contract.rows import Draft
from selfalign_stages.engine import generation, vllm_engine
from selfalign_stages.engine.interface import Decoding, Request, seed_for
from selfalign_stages.engine.vllm_engine import VllmEngine, register_in_process
from selfalign_stages.evaluation import hhh, suites
from selfalign_stages.evaluation.variant_prompts import VariantPrompts
from selfalign_stages.pack import rendering, thoughts
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.thought_grammar import thought_grammar
from selfalign_stages.tuning import models

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
VARIANTS: tuple[Variant, ...] = ("base", "prompted")
MODEL = builtin.folder("models", "hamlet")
PACK = load("builtin://hamlet")
GREEDY = Decoding(temperature=0, top_p=1, max_tokens=96, stop=rendering.stop_strings(PACK))


@pytest.fixture(scope="module")
def engine() -> VllmEngine:
    return VllmEngine(MODEL, seed=1)


def test_under_principles_the_base_model_thinks_and_answers(engine: VllmEngine) -> None:
    prefix = rendering.self_align_prefix(PACK, assistant_name="Ida")
    prompt = rendering.self_align_prompt(prefix, "What colour is a plum?", assistant_name="Ida")
    ((_, completion),) = engine.stream([Request(prompt, seed=1)], GREEDY)
    parsed = thoughts.parse(completion.text, pack=PACK, assistant_name="Ida")
    assert isinstance(parsed, thoughts.ParsedAnswer)
    assert "purple" in parsed.answer
    assert completion.finish_reason == "stop"
    assert not completion.ended_by_eos  # a stop string ended it


def test_a_nucleus_of_one_word_is_greedy_decoding_and_each_request_has_its_own(engine: VllmEngine) -> None:
    requests = [Request(f"### User\nWhat colour is a {thing}?\n\n", seed=3) for thing in ("plum", "crow", "leaf")]
    greedy = dict(engine.stream(requests, GREEDY))
    narrow = dict(engine.stream(requests, replace(GREEDY, temperature=1.0, top_p=1e-6)))
    wide = dict(engine.stream(requests, replace(GREEDY, temperature=2.0, top_p=0.999)))
    assert [narrow[i].text for i in range(3)] == [greedy[i].text for i in range(3)]
    assert [wide[i].text for i in range(3)] != [greedy[i].text for i in range(3)]


def test_under_a_grammar_every_completion_is_of_its_form_even_at_random(engine: VllmEngine) -> None:
    prefix = rendering.self_align_prefix(PACK, assistant_name="Ida")
    prompts = [rendering.self_align_prompt(prefix, f"What colour is {n}?", assistant_name="Ida") for n in range(6)]
    wild = replace(GREEDY, temperature=2.0, grammar=thought_grammar(PACK, assistant_name="Ida"))
    completions = dict(engine.stream([Request(prompt, seed=n) for n, prompt in enumerate(prompts)], wild))
    ended = [one.text for one in completions.values() if one.finish_reason == "stop"]
    assert ended and all(
        isinstance(thoughts.parse(text, pack=PACK, assistant_name="Ida"), thoughts.ParsedAnswer) for text in ended
    ), ended


@pytest.mark.parametrize(
    ("reason", "finished", "by_eos"),
    [("stop", "stop", True), ("length", "length", False), ("abort", "abort", False), ("error", "abort", False),
     ("repetition", "abort", False), (None, "abort", False)],
)  # fmt: skip
def test_only_an_end_that_the_model_chose_counts_as_one(reason: str | None, finished: str, by_eos: bool) -> None:
    output = SimpleNamespace(text="x", token_ids=[1], finish_reason=reason, stop_reason=None)
    completion = vllm_engine._completion(SimpleNamespace(outputs=[output]))
    assert (completion.finish_reason, completion.ended_by_eos) == (finished, by_eos)


def test_on_cpu_no_other_process_imports_vllm_to_inspect_a_model(
    engine: VllmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm import ModelRegistry
    from vllm.model_executor.models import registry

    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    monkeypatch.setattr(registry.subprocess, "run", lambda *_, **__: pytest.fail("another process"))
    register_in_process(ModelRegistry, ["MistralForCausalLM", "NoSuchModel"])
    assert ModelRegistry.models["MistralForCausalLM"].inspect_model_cls().is_text_generation_model
    assert "NoSuchModel" not in ModelRegistry.models


def test_completions_of_different_length_all_come_back_by_position(engine: VllmEngine) -> None:
    prompts = [chat.question(f"What is {n} plus 1?", assistant_name="Ida") for n in range(1, 7)]
    decoding = Decoding(temperature=1, top_p=1, max_tokens=12, ignore_eos=True)
    completions = dict(engine.stream([Request(p, seed=n) for n, p in enumerate(prompts)], decoding))
    assert sorted(completions) == list(range(6))
    assert {(c.finish_reason, c.tokens) for c in completions.values()} == {("length", 12)}


def test_a_prompt_without_room_for_an_answer_is_returned_unanswered_not_cut(engine: VllmEngine) -> None:
    ((_, completion),) = engine.stream([Request("word " * 1000, seed=1)], GREEDY)
    assert (completion.finish_reason, completion.text) == ("abort", "")


def test_scores_are_those_of_transformers(engine: VllmEngine) -> None:
    import torch

    pairs = [(chat.question("Where does an owl live?", assistant_name="Ida"), text) for text in ("An owl.", "river.")]
    model, tokenizer = models.load_model(MODEL, dtype="float32"), models.load_tokenizer(MODEL)
    for (prompt, continuation), scored in zip(pairs, engine.score(pairs), strict=True):
        start, ids = len(tokenizer(prompt)["input_ids"]), tokenizer(prompt + continuation)["input_ids"]
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
        expected = sum(float(rows[place - 1, ids[place]]) for place in range(start, len(ids)))
        assert scored.logprob == pytest.approx(expected, abs=0.3)  # the engine computes in bfloat16
        assert scored.tokens == len(ids) - start


def test_principles_in_context_turn_the_choice_between_two_answers(engine: VllmEngine) -> None:
    items = suites.parse_hhh(suites.read_texts("pack://hhh", PACK))[:4]
    means = {}
    for variant in VARIANTS:
        prompts = VariantPrompts(pack=PACK, variant=variant, assistant_name="Ida")
        scores = hhh.run(items, engine, prompts, suite="hhh")
        means[variant] = sum(score.values["overall"] for score in scores) / len(scores)
    assert means["base"] <= 0.5 < 1 == means["prompted"]


def test_a_pair_that_exceeds_the_context_is_refused_with_its_length(engine: VllmEngine) -> None:
    with pytest.raises(DoesNotFit, match="context of 1024"):
        engine.score([("word " * 1000, " A")])


def generate(folder: Path, engine: VllmEngine, *, stop_after: int = 10**9) -> Manifest:
    count = iter(range(10**6))
    step = context(folder, "answers", stop_requested=lambda: next(count) >= stop_after)
    chunks = Chunks(step, Draft, total=30, size=8)
    generation.run(
        step,
        lambda: engine,
        chunks,
        request=lambda n: Request(
            rendering.topic_list(PACK.frames.topics, question_type=PACK.question_types[n % 9].type, topics=["owl"]),
            seed=seed_for("key", str(n), seed=1),
        ),
        row=lambda n, c: Draft(id=str(n), text=c.text, finish_reason=c.finish_reason),
        decoding=Decoding(temperature=1, top_p=0.98, max_tokens=24, ignore_eos=True),
        deterministic=True,
    )
    return chunks.finish()


def test_a_stop_ends_a_stream_before_its_first_completion(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(range(3))

    def check_stop() -> None:
        if next(tokens) == 2:
            raise Interrupted("stopped")

    monkeypatch.setattr(engine, "_check_stop", check_stop)
    decoding = Decoding(temperature=1, top_p=0.98, max_tokens=24, ignore_eos=True)
    with pytest.raises(Interrupted):
        next(engine.stream([Request("an owl", seed=1)], decoding))


@pytest.mark.parametrize("stop_after", [3, 17, 29])
def test_deterministic_mode_gives_equal_bytes_after_a_stop_and_a_rerun(
    stop_after: int, engine: VllmEngine, tmp_path: Path
) -> None:
    whole = generate(tmp_path / "whole", engine)
    with pytest.raises(Interrupted):
        generate(tmp_path / "stopped", engine, stop_after=stop_after)
    assert generate(tmp_path / "stopped", engine).digest == whole.digest
