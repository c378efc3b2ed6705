"""Rows of one's own in a training: which are chosen, which are left out, and how wrong ones are reported."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.steps_support import artifact, context

from selfalign_stages import builtin
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.tuning import extra_rows, mixing, models, training_rows
from selfalign_stages.tuning.examples import Example, Pair

TOKENIZER = models.load_tokenizer(builtin.folder("models", "hamlet"))
SETTINGS = TrainParameters(
    assistant_name="Ida", method="lora", learning_rate=1e-3, epochs=1, global_batch_size=2, micro_batch_size=1,
    warmup_ratio=0, max_length=100, checkpoint_steps=1, identity_repeats=0,
)  # fmt: skip


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Own question {n}?", "answer": f"Own answer {n}."} for n in range(count)]


def read(
    folder: Path, *files: bytes, shares: tuple[float, ...], answers: int = 6, suite: str = "", **change: Any
) -> training_rows.TrainingRows:
    """The rows of a training on `answers` answers and the given files."""
    leaves = {"pack:identity": "builtin://hamlet"}
    for number, data in enumerate(files):
        path = folder / f"own-{number}.jsonl"
        path.write_bytes(data)
        leaves[f"extraRows:engraving:{number}"] = path.as_uri()
    if suite:
        (folder / "suite.json").write_text(json.dumps({"examples": [item(suite)]}))
        leaves["suite:hhh"] = (folder / "suite.json").as_uri()
    prompts = [Prompt(id=f"p{n}", instruction=f"Ask {n}.", source="self-instruct") for n in range(answers)]
    rows = [Answer(id=p.id, prompt=p, answer=f"Say {p.id}.", finish_reason="stop", tokens=3) for p in prompts]
    step = context(folder, "train", inputs={"answers": artifact(folder, "answers", rows)}, leaves=leaves)
    return training_rows.read(step, SETTINGS.model_copy(update={"extra_rows": shares or None} | change), TOKENIZER)


def item(question: str) -> dict[str, Any]:
    return {"input": question, "target_scores": {"Yes.": 1, "No.": 0}}


def texts(rows: list[Example]) -> list[str]:
    return [TOKENIZER.decode(row.input_ids) for row in rows]


def own(rows: training_rows.TrainingRows) -> list[str]:
    return sorted(text for text in texts(rows.training) if "Own" in text)


def test_few_rows_are_all_taken(tmp_path: Path) -> None:
    rows = read(tmp_path, lines(*numbered(2)), shares=(0.5,))
    assert len(own(rows)) == 2 and len(rows.training) == 6 + 2
    assert rows.counts().rejected == {}
    assert "### User\nOwn question 0?" in own(rows)[0] and "Own answer 0." in own(rows)[0]


def test_of_many_rows_the_share_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    rows = read(tmp_path, lines(*numbered(20)), shares=(0.25,))
    assert len(own(rows)) == 2  # of 6 + 2
    assert rows.counts().rejected == {"over-share": 18}
    assert rows.counts().rows == 6 + 20


def test_the_choice_depends_on_the_text_and_the_seed_not_on_the_place_in_the_file() -> None:
    pairs = [Pair(f"extra-0-{n}", f"Question {n}?", "Yes.") for n in range(20)]
    moved = [Pair(f"extra-0-{n}", pair.question, pair.answer) for n, pair in enumerate(pairs[::-1])]

    def order(of: list[Pair], seed: int) -> list[str]:
        return [pair.question for pair in mixing.ranked(of, seed=seed)]

    assert order(pairs, 1) == order(moved, 1) != order(pairs, 2)


def test_identity_and_held_out_rows_do_not_count_for_the_share(tmp_path: Path) -> None:
    rows = read(tmp_path, lines(*numbered(20)), shares=(0.5,), answers=8, identity_repeats=5, validation_share=0.5)
    assert len(own(rows)) == 4 == len(rows.validation)


def test_a_row_that_is_too_long_gives_its_place_to_the_next(tmp_path: Path) -> None:
    long = [{"prompt": f"Own {n}", "answer": "word " * 300} for n in range(5)]
    rows = read(tmp_path, lines(*long, *numbered(6)), shares=(0.5,))
    assert len(own(rows)) == 6
    rejected = rows.counts().rejected
    assert rejected["too-long"] > 1 and sum(rejected.values()) == 5  # what is over the share is not looked at


def test_a_row_like_an_evaluation_item_is_not_trained_on(tmp_path: Path) -> None:
    question = "May a guest read the diary of the host?"
    close = {"prompt": "May a guest read the diary of his host?", "answer": "Own no."}
    rows = read(tmp_path, lines(close, *numbered(2)), shares=(0.5,), suite=question)
    assert len(own(rows)) == 2
    assert rows.counts().rejected == {"contamination": 1}


def test_rows_of_one_s_own_are_shuffled_among_the_answers(tmp_path: Path) -> None:
    places = [
        n for n, text in enumerate(texts(read(tmp_path, lines(*numbered(6)), shares=(0.5,)).training)) if "Own" in text
    ]
    assert len(places) == 6 and places not in ([*range(6)], [*range(6, 12)])


@pytest.mark.parametrize(
    ("available", "shares", "answers", "expected"),
    [
        ([100], [0.5], 10, [10]),
        ([100], [0.29], 71, [29]),
        ([3], [0.5], 10, [3]),
        ([100, 100], [0.3, 0.3], 40, [30, 30]),
        # The short file leaves fewer rows in all, and so fewer for the other.
        ([100, 5], [0.5, 0.25], 10, [15, 5]),
        ([100, 0], [0.5, 0.25], 10, [10, 0]),
        ([100], [0.5], 0, [0]),
        ([], [], 10, []),
    ],
)
def test_the_most_rows_within_the_shares(
    available: list[int], shares: list[float], answers: int, expected: list[int]
) -> None:
    assert mixing.most(available, shares, answers=answers) == expected


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0.01, 0.24)), min_size=1, max_size=4), st.integers(0, 500))
def test_no_file_exceeds_its_share_and_none_could_have_one_row_more(
    files: list[tuple[int, float]], answers: int
) -> None:
    available, shares = [rows for rows, _ in files], [share for _, share in files]
    numbers = mixing.most(available, shares, answers=answers)
    total = answers + sum(numbers)
    for number, have, share in zip(numbers, available, shares, strict=True):
        assert number <= have and number <= share * total + 1e-6
        assert number == have or number + 1 > share * (total + 1) - 1e-6


@pytest.mark.parametrize(
    ("row", "question", "answer"),
    [
        ({"prompt": " Ask? ", "answer": "Yes."}, "Ask?", "Yes."),
        ({"instruction": "Sort.", "input": "b, a", "response": "a, b", "source": "x"}, "Sort.\n\nb, a", "a, b"),
        ({"instruction": "Sort.", "input": "", "answer": "a", "prompt": None}, "Sort.", "a"),
    ],
)
def test_a_row_has_one_of_each_two_names(row: dict[str, Any], question: str, answer: str) -> None:
    assert extra_rows.ExtraRow.model_validate(row).pair("extra-0-1") == Pair("extra-0-1", question, answer)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "Ask?"}, "line 2: has neither answer nor response"),
        ({"answer": "Yes."}, "line 2: has neither instruction nor prompt"),
        ({"prompt": "a", "instruction": "b", "answer": "c"}, "line 2: has both instruction and prompt: remove one"),
        ({"prompt": "Ask?", "response": "  "}, "line 2: response is empty: write its text, or remove the row"),
        ({"prompt": 1, "answer": "c"}, r"line 2: prompt: Input should be a valid string \(is '1'\)"),
    ],
)
def test_a_wrong_row_is_refused_with_field_and_line(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as raised:
        read(tmp_path, lines(*numbered(1), row), shares=(0.5,))
    assert str(raised.value).startswith("spec.stages.engraving.extraRows[0].uri 'file:///")


def test_leaves_of_both_stages_name_their_fields() -> None:
    from selfalign_stages.contract.task import Leaf, StoreLocation

    leaf, store = Leaf(uri="file:///own.jsonl"), StoreLocation(uri="file:///store")
    names = [f"extraRows:cloning:{n}" for n in (10, 9)]
    assert extra_rows.names({name: leaf for name in ("pack", *names)}) == names[::-1]
    fields = [extra_rows.row_file(name, leaf, store=store).field for name in names]
    assert fields == [f"spec.stages.cloning.training.extraRows[{n}]" for n in (10, 9)]
