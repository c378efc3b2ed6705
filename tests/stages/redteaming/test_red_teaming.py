"""Red-teaming without an engine: parsing lists, balancing topics, sizing rounds, merging prompts."""

import re
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
    assert lists.parse_topics(" red kites\n7. old mills\n8.  tides \nThat was it\n9. bees") == [
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
        ("\u0640", "empty"),  # the Arabic stroke that stretches words, alone
        ("天气", None),
        ("为什么天空是蓝色的呢", "too-long"),
        ("新闻。", "punctuation"),
        ("السوق؟", "punctuation"),
    ],
)
def test_what_is_no_topic_has_a_reason(topic: str, reason: str | None) -> None:
    assert lists.topic_reject_reason(topic) == reason


def test_a_cut_last_topic_is_left_out() -> None:
    extended = topics.extend([], [draft(" old mills\n2. red ki", seeds=(KIND,))], number=1)
    assert [topic.topic for topic in extended] == ["old mills"]


def test_topics_are_duplicates_within_their_type_only_and_in_any_case() -> None:
    other = PACK.question_types[1].type
    drafts = [draft("Mills", seeds=(KIND,), finish="stop"), draft("mills", seeds=(KIND,), finish="stop", id="e")]
    extended = topics.extend([], [*drafts, draft("mills", seeds=(other,), finish="stop", id="f")], number=1)
    assert [topic.reject for topic in extended] == [None, "duplicate", None]


def test_every_type_is_cut_to_the_smallest_type_s_count() -> None:
    candidates = [
        Topic(id=f"{t}{n}", type=t, topic=f"{t}{n}", round=1) for t, many in (("a", 5), ("b", 2)) for n in range(many)
    ]
    kept = [topic.type for topic in topics.balance(candidates, target=4) if topic.reject is None]
    assert (kept.count("a"), kept.count("b")) == (2, 2)


TWO_TASKS = " Name a bird.\nInput 4: (none)\n\nTask 5: Sort these.\nInput 5: b, a\n\nTask 6: Cut of"


def test_tasks_are_split_into_instruction_and_input_and_the_cut_one_is_counted() -> None:
    assert lists.parse_tasks(draft(TWO_TASKS), first=4) == ([("Name a bird.", ""), ("Sort these.", "b, a")], 1)


@pytest.mark.parametrize("absent", ["(none)", "None", "none.", "N/A", "n/a", "(none)\n---", "No input", "[None]"])
def test_what_stands_for_no_input_is_none(absent: str) -> None:
    text = f" Name a bird.\nInput 1: {absent}\n\nTask 2: Sort.\nInput 2: None of these words"
    assert lists.parse_tasks(draft(text, finish="stop"), first=1) == (
        [("Name a bird.", ""), ("Sort.", "None of these words")],
        0,
    )


def test_the_document_after_an_invisible_end_is_no_part_of_the_last_input() -> None:
    text = " Sort these.\nInput 1: b, a\n\nTasks that people came up with:\n\nMore of them"
    assert lists.parse_tasks(draft(text, finish="stop"), first=1) == ([("Sort these.", "b, a")], 0)


def test_numbers_of_a_list_are_no_part_of_instructions_and_questions() -> None:
    text = " 5. Why do the planets turn?\nInput 1: (none)"
    assert lists.parse_tasks(draft(text, finish="stop"), first=1)[0] == [("Why do the planets turn?", "")]
    assert lists.parse_question(" 3) Why is ice cold?\nmore") == "Why is ice cold?"
    assert lists.parse_question("1984 is about what?") == "1984 is about what?"
    assert lists.parse_question("3.js is a library") == "3.js is a library"
    assert lists.parse_question("1.5升水有多重？") == "1.5升水有多重？"
    assert lists.parse_question("1984年发生了什么？") == "1984年发生了什么？"


@pytest.mark.parametrize("topic", ["<li>space", "bird calls</b>", "salt &amp; pepper"])
def test_a_topic_with_tags_is_rejected_as_markup(topic: str) -> None:
    assert lists.topic_reject_reason(topic) == "markup"


def test_a_task_without_input_line_is_malformed() -> None:
    assert lists.parse_tasks(draft(" Name a bird.\n\nTask 2: Sort.\nInput 2: x", finish="stop"), first=1) == (
        [("Sort.", "x")],
        1,
    )


PIECES = st.sampled_from(["Task 4:", "Task 3:", "Input 3:", "Input 4:", "\n", " (none)", "7. owl", " Name a bird."])


@given(st.lists(st.one_of(PIECES, st.text(max_size=4))).map("".join))
def test_any_continuation_gives_some_tasks_and_topics(text: str) -> None:
    tasks, malformed = lists.parse_tasks(draft(text), first=3)
    # Every heading begins one item, and each item is either read or counted; at the token limit the last one is cut.
    assert len(tasks) + malformed == 1 + len(re.findall(r"^Task \d+[:：]", text.partition("\n")[2], re.MULTILINE))
    assert malformed >= 1
    assert len(lists.parse_topics(text)) <= 1 + text.count("\n")
    assert all(topic == topic.strip() for topic in lists.parse_topics(text))


SETTINGS = InstructionsParameters(instructions=100, rounds=4, dedup_rouge_l=0.7, sampling=Sampling(max_tokens=64))


def test_a_round_requests_its_share_by_the_yield_measured_so_far() -> None:
    assert (
        instructions.completions_needed(kept=0, drafts=0, settings=SETTINGS, number=1) == 8
    )  # 100 / 4 rounds / 4 * 1.15
    assert instructions.completions_needed(kept=50, drafts=25, settings=SETTINGS, number=4) == 29  # 50 left at 2 each
    assert instructions.completions_needed(kept=1, drafts=90, settings=SETTINGS, number=4) == 228  # 99 at 0.5, not 0.01
    assert instructions.completions_needed(kept=100, drafts=25, settings=SETTINGS, number=3) == 0


def test_a_task_near_a_seed_or_an_earlier_one_is_a_duplicate() -> None:
    seed = PACK.seed_tasks[0].instruction
    generated = (seed, "Count all stones here.", "Count all stones here!")
    text = "".join(f"\n\nTask {n}: {task}\nInput {n}: (none)" for n, task in enumerate(generated, start=2))
    text = text.removeprefix("\n\nTask 2:")
    tasks, _ = instructions.collect_tasks([draft(text, finish="stop")], pack=PACK, settings=SETTINGS)
    assert [task.reject for task in tasks] == ["duplicate", None, "duplicate"]


def test_demonstrations_mix_seeds_with_machine_made_tasks() -> None:
    candidates = [Prompt(id=f"m{n}", instruction=f"Made {n}", source="self-instruct") for n in range(9)]
    shown = instructions.demonstrations(PACK, candidates, Random(1), settings=SETTINGS)
    assert sum(task.id.startswith("m") for task in shown) == 2
    assert sum(task.id.startswith("seed") for task in shown) == 6


def test_the_wanted_type_is_among_the_solved_lines() -> None:
    topic = Topic(id="t", type=KIND, topic="mills", round=1)
    shown = questions.demonstrations(PACK, topic, Random(1))
    assert len(shown) == 5
    assert shown[-1].type == KIND


def prompt(id: str, text: str, source: str = "topic-guided") -> Prompt:
    return Prompt.model_validate({"id": id, "instruction": text, "source": source})


def select(candidates: list[Prompt], *, held_out: list[str] | None = None, limit: int = 99) -> dict[str, str | None]:
    settings = PromptsParameters(prompts=limit, dedup_rouge_l=0.7, decontaminate=True)
    judged = prompts.select(candidates, [], pack=PACK, held_out=held_out or [], settings=settings, seed=1)
    return {p.id: p.reject for p in judged}


def test_near_duplicates_across_sources_are_rejected_once() -> None:
    verdicts = select([prompt("a", "How deep is the harbour?"), prompt("b", "How deep is the harbour, Otto?")])
    assert sorted(verdicts.values(), key=str) == [None, "duplicate"]


def test_evaluation_items_are_removed_and_counted() -> None:
    assert select([prompt("a", "How deep is the harbour?")], held_out=["how deep is the harbour"]) == {
        "a": "contamination"
    }


def test_prompts_that_a_pack_brings_by_hand_come_first_unfiltered_with_their_type() -> None:
    (kind, *others) = PACK.question_types
    by_hand = ("Open the window.", "How deep is the harbour?", "Take a photo of the ships.")
    pack = PACK.model_copy(update={"question_types": (kind.model_copy(update={"prompts": by_hand}), *others)})
    settings = PromptsParameters(prompts=4, dedup_rouge_l=0.7, decontaminate=True)
    generated = [
        prompt("a", "How deep is the harbour, Otto?"),
        prompt("b", "Name three birds"),
        prompt("c", "Sing a low tune"),
    ]
    judged = prompts.select(generated, [], pack=pack, held_out=["take a photo of the ships"], settings=settings, seed=1)
    assert [(p.instruction, p.source, p.type, p.reject) for p in judged[:3]] == [
        ("Open the window.", "seed", kind.type, None),
        ("How deep is the harbour?", "seed", kind.type, None),
        ("Take a photo of the ships.", "seed", kind.type, "contamination"),
    ]
    assert {p.id: p.reject for p in judged[3:]} == {"a": "duplicate", "b": None, "c": None}


def test_prompts_over_the_limit_stay_with_their_reason() -> None:
    candidates = [
        prompt(f"p{n}", text) for n, text in enumerate(["Name three birds", "Count these stones", "Explain the tides"])
    ]
    assert sorted(select(candidates, limit=2).values(), key=str) == [None, None, "over-limit"]


def test_a_limit_cuts_both_sources_in_proportion() -> None:
    one = [prompt(f"q{n}", f"ask {n}") for n in range(80)]
    two = [prompt(f"i{n}", f"do {n}", "self-instruct") for n in range(20)]
    first = [p.source for p in prompts.interleave(one, two, seed=3)][:50]
    assert first.count("self-instruct") == 10


def test_the_order_is_fixed_by_the_seed() -> None:
    one = [prompt(f"q{n}", f"ask {n}") for n in range(6)]
    two = [prompt(f"i{n}", f"do {n}", "self-instruct") for n in range(3)]
    # Golden order: another one changes which prompts a limit keeps, and needs a new version of the step.
    expected = ["q1", "i2", "q4", "q5", "i0", "q3", "q2", "i1", "q0"]
    assert [p.id for p in prompts.interleave(one, two, seed=3)] == expected
    assert [p.id for p in prompts.interleave(one, two, seed=4)] != expected
