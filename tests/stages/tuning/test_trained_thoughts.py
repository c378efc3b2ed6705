"""Training on thoughts: what the model learns to write, for rows with a thought, without one, and with stray tags."""

from pathlib import Path
from typing import Any

import pytest
from tests.stages.tuning.test_examples import PACK, TOKENIZER, encoded
from tests.stages.tuning.test_mixing import SETTINGS, lines
from tests.stages.tuning.test_training import TINY, prepared
from tests.steps_support import artifact, context

from selfalign_stages import chat
from selfalign_stages.artifacts import reading
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.tuning import examples, models, served_files, train, training_rows
from selfalign_stages.tuning.examples import IGNORED, Example, Pair

QUESTION = "What is ice?"
EMPTY = "<think>\n\n</think>\n\n"


def learned(example: Example) -> str:
    return str(TOKENIZER.decode([label for label in example.labels if label != IGNORED]))


def completion(pair: Pair, **options: Any) -> str:
    (example,), dropped = encoded([pair], **options)
    assert dropped == {}
    return learned(example).removesuffix(TOKENIZER.eos_token)


def test_the_thought_is_learned_with_its_tags_before_the_answer() -> None:
    pair = Pair("p", QUESTION, " Frozen water. ", " This asks about ice.\n")
    assert completion(pair, thoughts=True) == "<think>\nThis asks about ice.\n</think>\n\nFrozen water."
    assert completion(pair) == "Frozen water."


def test_a_row_without_a_thought_is_learned_with_an_empty_one() -> None:
    assert completion(Pair("p", QUESTION, "Frozen water."), thoughts=True) == f"{EMPTY}Frozen water."
    for pair in examples.identity_pairs(PACK, assistant_name="Ida", repeats=1):
        assert completion(pair, thoughts=True).startswith(f"{EMPTY}I ")


def test_an_answer_that_brings_its_thought_keeps_it() -> None:
    own = Pair("extra-0-1", QUESTION, "<think>Water, and cold.</think>Frozen water.")
    assert completion(own, thoughts=True) == "<think>\nWater, and cold.\n</think>\n\nFrozen water."
    assert completion(own) == own.answer  # without thoughts a row is trained on as it is


@pytest.mark.parametrize(
    ("answer", "thought"),
    [
        ("<think>\nNo end", ""),
        ("Ice. <think>\nLate.\n</think>\n\nMore.", ""),
        ("<think>\nOne.\n</think>\n\nIce.\n</think>", ""),
        ("Ice.", "It ends </think> twice."),
        ("Ice.", "It begins <think> twice."),
    ],
)
def test_a_row_with_tags_elsewhere_is_left_out_and_counted(answer: str, thought: str) -> None:
    sound = Pair("q", QUESTION, "Ice.")
    kept, dropped = encoded([Pair("p", QUESTION, answer, thought), sound], thoughts=True)
    assert (len(kept), dropped) == (1, {"think-tag": 1})
    assert len(encoded([Pair("p", QUESTION, answer, thought), sound])[0]) == 2


def test_the_length_limit_counts_the_thought() -> None:
    pair = Pair("p", QUESTION, "Ice.", "cold " * 60)
    assert encoded([pair], thoughts=True, max_length=60) == ([], {"too-long": 1})
    assert len(encoded([pair], max_length=60)[0]) == 1


def read(folder: Path, **options: Any) -> training_rows.TrainingRows:
    """The rows of a training on two answers, one of them without a thought, and a file of one's own."""
    (folder / "own.jsonl").write_bytes(lines({"prompt": "Own?", "answer": "Own yes."}))
    rows = [
        Answer(
            id=id_,
            prompt=Prompt(id=id_, instruction=f"Ask {id_}.", source="self-instruct"),
            thought=thought,
            answer=f"Say {id_}.",
            finish_reason="stop",
            tokens=3,
        )
        for id_, thought in (("a", "This asks for a."), ("b", ""))
    ]
    step = context(
        folder,
        "train",
        inputs={"answers": artifact(folder, "answers", rows)},
        leaves={"pack:identity": "builtin://hamlet", "extraRows:engraving:0": (folder / "own.jsonl").as_uri()},
    )
    return training_rows.read(
        step, SETTINGS.model_copy(update={"extra_rows": (0.5,), "max_length": 200} | options), TOKENIZER
    )


def test_the_step_trains_on_the_thoughts_of_its_answers_only_where_it_is_asked_to(tmp_path: Path) -> None:
    end = TOKENIZER.eos_token
    assert sorted(map(learned, read(tmp_path, thoughts=True).training)) == [
        f"{EMPTY}Own yes.{end}",
        f"{EMPTY}Say b.{end}",
        f"<think>\nThis asks for a.\n</think>\n\nSay a.{end}",
    ]
    assert sorted(map(learned, read(tmp_path).training)) == [f"Own yes.{end}", f"Say a.{end}", f"Say b.{end}"]


def test_held_out_rows_have_their_thoughts_too(tmp_path: Path) -> None:
    (row,) = read(tmp_path, thoughts=True, validation_share=0.5).validation
    assert learned(row).startswith("<think>")


def test_the_saved_template_renders_a_row_as_it_was_trained_and_later_turns_without_its_thought(
    tmp_path: Path,
) -> None:
    served_files.write_template(TOKENIZER, tmp_path, assistant_name="Ida", thoughts=True)
    for path in Path(TOKENIZER.name_or_path).glob("tokenizer*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    saved = models.load_tokenizer(tmp_path)
    (example,), _ = encoded([Pair("p", QUESTION, "Frozen water.", "This asks about ice.")], thoughts=True)
    answer = chat.with_thought("Frozen water.", thought="This asks about ice.")
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer}]
    assert saved.apply_chat_template(turns, return_dict=False) == list(example.input_ids)
    further = saved.apply_chat_template([*turns, turns[0]], tokenize=False, add_generation_prompt=True)
    assert "think>" not in further and "### Ida\nFrozen water." in further


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_trained_model_is_saved_with_the_template_of_its_rows(tmp_path: Path) -> None:
    step = prepared(tmp_path, TINY.model_copy(update={"thoughts": True, "epochs": 0.25}))
    manifest = train.run(step)
    template = reading.read_bytes(step.store, manifest, "chat_template.jinja").decode()
    assert template == chat.template("Ida", bos=False, thoughts=True) != chat.template("Ida", bos=False)
    probes = reading.read_json(step.store, manifest, "probes.json")
    assert probes and all("### Ida\n<think>\n\n</think>\n\n" in TOKENIZER.decode(probe) for probe in probes)
