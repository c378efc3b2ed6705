"""Red-teaming: reading lists, balancing topics, merging prompts."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfalign_stages.contract.parameters import InstructionsParameters, PromptsParameters, Sampling
from selfalign_stages.contract.rows import Draft, Prompt, Topic
from selfalign_stages.pack.loading import load
from selfalign_stages.redteaming import instructions, lists, prompts, questions, topics

PACK = load("builtin://hamlet")
KIND = PACK.question_types[0].type


def draft(text: str, *, finish: str = "length", seeds: tuple[str, ...] = ("s",), id: str = "d") -> Draft:
    return Draft.model_validate({"id": id, "seeds": seeds, "text": text, "finishReason": finish})


def test_a_continued_topic_list_is_read_up_to_the_first_stray_line() -> None:
    assert lists.topics(" red kites\n7. old mills\n8.  tides \nThat was it\n9. bees") == [
        "red kites",
        "old mills",
        "tides",
    ]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("old mills", None),
        ("", "empty"),
        ("...", "empty"),
        ("one two three four five six", "too-long"),
        ("why?", "punctuation"),
    ],
)
def test_what_is_no_topic_has_a_reason(topic: str, reason: str | None) -> None:
    assert lists.topic_reject_reason(topic) == reason


def test_a_cut_last_topic_is_left_out() -> None:
    found = topics.extend([], [draft(" old mills\n2. red ki", seeds=(KIND,))], number=1)
    assert [topic.topic for topic in found] == ["old mills"]


def test_topics_are_doubles_within_their_type_only_and_in_any_case() -> None:
    other = PACK.question_types[1].type
    drafts = [draft("Mills", seeds=(KIND,), finish="stop"), draft("mills", seeds=(KIND,), finish="stop", id="e")]
    found = topics.extend([], [*drafts, draft("mills", seeds=(other,), finish="stop", id="f")], number=1)
    assert [topic.reject for topic in found] == [None, "duplicate", None]


def test_every_type_is_cut_to_the_smallest_type_s_count() -> None:
    made = [
        Topic(id=f"{t}{n}", type=t, topic=f"{t}{n}", round=1) for t, many in (("a", 5), ("b", 2)) for n in range(many)
    ]
    kept = [topic.type for topic in topics.balance(made, wanted=4) if topic.reject is None]
    assert (kept.count("a"), kept.count("b")) == (2, 2)


TWO_TASKS = " Name a bird.\nInput 4: (none)\n\nTask 5: Sort these.\nInput 5: b, a\n\nTask 6: Cut of"


def test_tasks_are_split_into_instruction_and_input_and_the_cut_one_is_counted() -> None:
    assert lists.tasks(draft(TWO_TASKS), first=4) == ([("Name a bird.", ""), ("Sort these.", "b, a")], 1)


def test_a_task_without_input_line_is_torn() -> None:
    assert lists.tasks(draft(" Name a bird.\n\nTask 2: Sort.\nInput 2: x", finish="stop"), first=1) == (
        [("Sort.", "x")],
        1,
    )


@given(st.text())
def test_any_continuation_gives_some_tasks_and_topics(text: str) -> None:
    found, torn = lists.tasks(draft(text), first=3)
    assert len(found) >= 0 <= torn
    assert all(isinstance(topic, str) for topic in lists.topics(text))


SETTINGS = InstructionsParameters(instructions=100, rounds=4, dedup_rouge_l=0.7, sampling=Sampling(max_tokens=64))


def test_a_round_asks_for_its_share_by_the_yield_seen_so_far() -> None:
    assert instructions.completions(kept=0, drafts=0, settings=SETTINGS, number=1) == 8  # 100 / 4 rounds / 4 * 1.15
    assert instructions.completions(kept=50, drafts=25, settings=SETTINGS, number=4) == 29  # 50 left at 2 each
    assert instructions.completions(kept=100, drafts=25, settings=SETTINGS, number=3) == 0


def test_a_task_near_a_seed_or_an_earlier_one_is_a_duplicate() -> None:
    seed = PACK.seed_tasks[0].instruction
    instructions_made = (seed, "Count all stones here.", "Count all stones here!")
    text = "".join(f"\n\nTask {n}: {task}\nInput {n}: (none)" for n, task in enumerate(instructions_made, start=2))
    text = text.removeprefix("\n\nTask 2:")
    found, _ = instructions.collect([draft(text, finish="stop")], pack=PACK, settings=SETTINGS)
    assert [task.reject for task in found] == ["duplicate", None, "duplicate"]


def test_demonstrations_mix_seeds_with_machine_made_tasks() -> None:
    made = [Prompt(id=f"m{n}", instruction=f"Made {n}", source="self-instruct") for n in range(9)]
    shown = instructions.demonstrations(PACK, made, Random(1), settings=SETTINGS)
    assert sum(task.id.startswith("m") for task in shown) == 2
    assert sum(task.id.startswith("seed") for task in shown) == 6


def test_the_wanted_type_is_among_the_solved_lines() -> None:
    topic = Topic(id="t", type=KIND, topic="mills", round=1)
    shown = questions.demonstrations(PACK, topic, Random(1))
    assert len(shown) == 5
    assert shown[-1].type == KIND


def prompt(id: str, text: str, source: str = "topic-guided") -> Prompt:
    return Prompt.model_validate({"id": id, "instruction": text, "source": source})


def select(made: list[Prompt], *, held_out: list[str] | None = None, limit: int = 99) -> dict[str, str | None]:
    settings = PromptsParameters(prompts=limit, dedup_rouge_l=0.7, decontaminate=True)
    found = prompts.select(made, [], pack=PACK, held_out=held_out or [], settings=settings, seed=1)
    return {p.id: p.reject for p in found}


def test_near_duplicates_across_sources_are_rejected_once() -> None:
    verdicts = select([prompt("a", "How deep is the harbour?"), prompt("b", "How deep is the harbour, Otto?")])
    assert sorted(verdicts.values(), key=str) == [None, "duplicate"]


def test_evaluation_items_are_removed_and_counted() -> None:
    assert select([prompt("a", "How deep is the harbour?")], held_out=["how deep is the harbour"]) == {
        "a": "contamination"
    }


def test_a_limit_keeps_records_and_says_so() -> None:
    made = [
        prompt(f"p{n}", text) for n, text in enumerate(["Name three birds", "Count these stones", "Explain the tides"])
    ]
    assert sorted(select(made, limit=2).values(), key=str) == [None, None, "over-limit"]


def test_a_limit_cuts_both_sources_in_proportion() -> None:
    one = [prompt(f"q{n}", f"ask {n}") for n in range(80)]
    two = [prompt(f"i{n}", f"do {n}", "self-instruct") for n in range(20)]
    first = [p.source for p in prompts.interleave(one, two, seed=3)][:50]
    assert first.count("self-instruct") == 10


def test_trap_16_the_order_depends_on_the_seed_alone() -> None:
    made = [prompt(f"q{n}", f"ask {n}") for n in range(30)]
    assert prompts.interleave(made, [], seed=3) == prompts.interleave(made, [], seed=3)
    assert prompts.interleave(made, [], seed=3) != prompts.interleave(made, [], seed=4)
