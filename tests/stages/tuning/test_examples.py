"""Training examples: which rows and tokens are trained on, and which are not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.steps_support import artifact, context

from selfalign_stages import builtin
from selfalign_stages.contract.parameters import TrainParameters
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.pack.loading import load
from selfalign_stages.tuning import batches, examples, models, training_rows
from selfalign_stages.tuning.examples import IGNORED, Pair
from selfalign_stages.tuning.loss_curve import LossCurve

PACK = load("builtin://hamlet")
TOKENIZER = models.load_tokenizer(builtin.folder("models", "hamlet"))


def encode(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoding = TOKENIZER(text, return_offsets_mapping=True)
    return encoding["input_ids"], encoding["offset_mapping"]


def encoded(pairs: list[Pair], **options: Any) -> tuple[list[examples.Example], dict[str, int]]:
    settings: dict[str, Any] = {"max_length": 200} | options
    return examples.encode(pairs, encode, assistant_name="Ida", eos_token=TOKENIZER.eos_token, **settings)


ANSWERS = ["A plum is purple.", "1. One\n2. Two", "  spaced  ", "Ünïcode, 水!", "### heading-like", "x"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_labels_decode_to_the_answer_and_the_end_token_exactly(answer: str) -> None:
    (example,), dropped = encoded([Pair("p", "What colour is a plum?", answer)])
    labels = [label for label in example.labels if label != IGNORED]
    assert TOKENIZER.decode(labels) == answer.strip() + TOKENIZER.eos_token
    assert dropped == {}


def test_prompt_and_answer_are_tokenised_as_one_text() -> None:
    (example,), _ = encoded([Pair("p", "Q?", "A.")])
    whole, _ = examples.training_text(Pair("p", "Q?", "A."), assistant_name="Ida", eos_token=TOKENIZER.eos_token)
    assert list(example.input_ids) == TOKENIZER(whole)["input_ids"]


def test_rows_over_the_length_limit_are_dropped_and_counted_not_truncated() -> None:
    kept, dropped = encoded([Pair("p", "Q?", "long " * 300), Pair("q", "Q?", "A.")])
    assert (len(kept), dropped) == (1, {"too-long": 1})


def test_a_token_across_the_seam_is_dropped_and_counted() -> None:
    def merging(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        seam = text.index("A.")
        return [1, 2, 3], [(0, seam - 1), (seam - 1, seam + 1), (seam + 1, len(text))]

    kept, dropped = examples.encode(
        [Pair("p", "Q?", "A.")], merging, assistant_name="Ida", eos_token="<e>", max_length=99
    )
    assert (kept, dropped) == ([], {"seam": 1})


def test_the_end_token_keeps_its_label_even_where_pad_is_the_same_id() -> None:
    pair, _ = encoded([Pair("p", "Q?", "A."), Pair("q", "Q?", "A much longer answer about plums.")])
    end = TOKENIZER.eos_token_id
    batch = batches.collate(batches.rows(pair), pad=end)
    assert [int((row == end).sum()) for row in batch["labels"]] == [1, 1]
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(e.input_ids) for e in pair]


def test_identity_rows_carry_the_run_s_own_name_and_ids() -> None:
    pairs = examples.identity_pairs(PACK, assistant_name="Ida", repeats=2)
    assert len({pair.id for pair in pairs}) == len(pairs) == 2 * len(PACK.identity[0].questions)
    assert all("Ida" in pair.answer and "{" not in pair.answer for pair in pairs)


def test_answers_become_pairs_with_instruction_and_input() -> None:
    prompt = Prompt(id="p", instruction="Sort.", input="b, a", source="self-instruct")
    row = Answer(id="p", prompt=prompt, answer="a, b", finish_reason="stop", tokens=3)
    assert examples.answer_pairs([row]) == [Pair("p", "Sort.\n\nb, a", "a, b")]


def test_the_order_of_examples_is_fixed_by_the_seed() -> None:
    def order(seed: int) -> list[str]:
        pairs = [Pair(str(n), f"Q {n}?", f"A {n}.") for n in range(8)]
        ordered = examples.shuffled(encoded(pairs)[0], seed=seed)
        decoded = [TOKENIZER.decode(example.input_ids) for example in ordered]
        return [re.findall(r"Q (\d)", text)[0] for text in decoded]

    # Golden order: another one trains other weights from the same data, and needs a new version of the step.
    assert order(1) == ["3", "6", "1", "5", "7", "0", "4", "2"]
    assert order(2) != order(1)


def test_rejected_answers_are_never_trained_on(tmp_path: Path) -> None:
    prompts = [Prompt(id=f"p{n}", instruction=f"Ask {n}.", source="self-instruct") for n in range(3)]
    rows = [Answer(id=p.id, prompt=p, answer=f"Say {p.id}.", finish_reason="stop", tokens=3) for p in prompts]
    rows[1] = rows[1].model_copy(update={"reject": "cut", "finish_reason": "length"})
    step = context(
        tmp_path,
        "train",
        inputs={"answers": artifact(tmp_path, "verbose-answers", rows)},
        leaves={"pack:identity": "builtin://hamlet"},
    )
    settings = TrainParameters(
        assistant_name="Ida", method="lora", learning_rate=1e-3, epochs=1, global_batch_size=2, micro_batch_size=1,
        warmup_ratio=0, max_length=200, checkpoint_steps=1, identity_repeats=0,
    )  # fmt: skip
    read = training_rows.read(step, settings, TOKENIZER)
    texts = sorted(TOKENIZER.decode(example.input_ids) for example in read.training)
    assert len(texts) == 2 and (read.left_out, read.validation) == ({}, [])
    assert "Say p0." in texts[0] and "Say p2." in texts[1]
    # Neither principles nor thoughts: the text that is trained on is the text that is served.
    assert all(text.startswith("### User\nAsk") for text in texts)


def test_a_batch_that_does_not_divide_is_refused() -> None:
    # The paper's script computes an accumulation of 0 at 96 processes.
    assert batches.accumulation_steps(global_batch=768, micro_batch=16, processes=48) == 1
    assert batches.accumulation_steps(global_batch=768, micro_batch=16, processes=6) == 8
    with pytest.raises(ValueError, match="768 is not a multiple of microBatchSize 16 x 96 processes"):
        batches.accumulation_steps(global_batch=768, micro_batch=16, processes=96)


@pytest.mark.parametrize("epochs", [1.0, 2.0, 2.5])
def test_every_epoch_shows_every_example_once_in_an_order_of_its_own(epochs: float) -> None:
    lengths = [10 + n % 7 for n in range(101)]
    order = batches.schedule(lengths, micro_batch=4, epochs=epochs, seed=1)
    assert len(order) == round(101 * epochs)
    assert sorted(order[:101]) == list(range(101))
    assert order[:101] != order[101:202]
    assert order != batches.schedule(lengths, micro_batch=4, epochs=epochs, seed=2)


def test_the_training_order_is_fixed_by_the_seed() -> None:
    # Golden order: a resumed process must compute the same one, whatever its hash seed or random state.
    lengths = [5, 9, 5, 9, 5, 9, 5]
    assert batches.schedule(lengths, micro_batch=2, epochs=1.5, seed=1) == [6, 0, 5, 3, 2, 4, 1, 3, 5, 0]


def test_examples_of_like_length_share_a_batch() -> None:
    lengths = [10 if n % 2 else 100 for n in range(64)]
    order = batches.schedule(lengths, micro_batch=4, epochs=1, seed=1)
    mixed = sum(len({lengths[p] for p in order[i : i + 4]}) > 1 for i in range(0, 64, 4))
    assert mixed <= 2


def test_equal_trainings_save_equal_adapters_wherever_they_ran(tmp_path: Path) -> None:
    contents = []
    for name, targets in (("one", ["v_proj", "q_proj"]), ("two", ["q_proj", "v_proj"])):  # peft writes a set
        folder = tmp_path / name
        folder.mkdir()
        adapter = {"base_model_name_or_path": str(folder / "base"), "target_modules": targets, "layers": ["b", "a"]}
        (folder / "adapter_config.json").write_text(json.dumps(adapter))
        models.normalise_adapter(folder)
        contents.append((folder / "adapter_config.json").read_bytes())
    assert contents[0] == contents[1]
    saved = json.loads(contents[0])
    assert saved["base_model_name_or_path"] == "base"
    assert saved["target_modules"] == ["q_proj", "v_proj"] and saved["layers"] == ["b", "a"]


def test_headline_losses_are_the_first_and_the_mean_of_the_last_tenth() -> None:
    points = [{"step": n, "loss": 20.0 - n, "learningRate": 0.0} for n in range(1, 21)]
    curve = LossCurve(points=points, steps=20, tokens=300, seconds=2.0, padding=0.123456)
    assert curve.metrics() == {
        "steps": 20,
        "firstLoss": 19.0,
        "lastLoss": 0.5,
        "tokensPerSecond": 150.0,
        "paddingShare": 0.1235,
    }
