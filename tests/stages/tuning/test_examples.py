"""Training examples: what is learned from, and what is not."""

import pytest

from selfalign_stages import builtin
from selfalign_stages.contract.rows import Answer, Prompt
from selfalign_stages.pack.loading import load
from selfalign_stages.tuning import batches, examples, models
from selfalign_stages.tuning.examples import IGNORED, Pair

PACK = load("builtin://hamlet")
TOKENIZER = models.load_tokenizer(builtin.folder("models", "hamlet"))


def encode(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    found = TOKENIZER(text, return_offsets_mapping=True)
    return found["input_ids"], found["offset_mapping"]


def encoded(pairs: list[Pair], **options: int) -> tuple[list[examples.Example], dict[str, int]]:
    settings = {"max_length": 200, "seed": 1} | options
    return examples.encode(pairs, encode, assistant_name="Ida", eos_token=TOKENIZER.eos_token, **settings)


ANSWERS = ["A plum is purple.", "1. One\n2. Two", "  spaced  ", "Ünïcode, 水!", "### heading-like", "x"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_trap_7_the_labels_decode_to_the_answer_and_the_end_token_exactly(answer: str) -> None:
    (example,), dropped = encoded([Pair("p", "What colour is a plum?", answer)])
    labels = [label for label in example.labels if label != IGNORED]
    assert TOKENIZER.decode(labels) == answer.strip() + TOKENIZER.eos_token
    assert dropped == {}


def test_trap_7_prompt_and_answer_are_tokenised_as_one_text() -> None:
    (example,), _ = encoded([Pair("p", "Q?", "A.")])
    whole, _ = examples.text(Pair("p", "Q?", "A."), assistant_name="Ida", eos_token=TOKENIZER.eos_token)
    assert list(example.input_ids) == TOKENIZER(whole)["input_ids"]


def test_trap_7_rows_that_do_not_fit_are_dropped_and_counted() -> None:
    found, dropped = encoded([Pair("p", "Q?", "long " * 300), Pair("q", "Q?", "A.")])
    assert (len(found), dropped) == (1, {"too-long": 1})


def test_trap_7_a_token_across_the_seam_is_dropped_and_counted() -> None:
    def merging(text: str) -> tuple[list[int], list[tuple[int, int]]]:
        seam = text.index("A.")
        return [1, 2, 3], [(0, seam - 1), (seam - 1, seam + 1), (seam + 1, len(text))]

    found, dropped = examples.encode(
        [Pair("p", "Q?", "A.")], merging, assistant_name="Ida", eos_token="<e>", max_length=99, seed=1
    )
    assert (found, dropped) == ([], {"seam": 1})


def test_trap_5_the_end_token_keeps_its_label_even_where_pad_is_the_same_id() -> None:
    found, _ = encoded([Pair("p", "Q?", "A."), Pair("q", "Q?", "A much longer answer about plums.")])
    end = TOKENIZER.eos_token_id
    batch = batches.collate(batches.rows(found), pad=end)
    assert [int((row == end).sum()) for row in batch["labels"]] == [1, 1]
    assert batch["attention_mask"].sum(dim=1).tolist() == [len(e.input_ids) for e in found]


def test_trap_10_identity_rows_carry_the_run_s_own_name_and_ids() -> None:
    pairs = examples.pairs([], PACK, assistant_name="Ida", repeats=2)
    assert len({pair.id for pair in pairs}) == len(pairs) == 2 * len(PACK.identity[0].questions)
    assert all("Ida" in pair.answer and "{" not in pair.answer for pair in pairs)


def test_answers_become_pairs_with_instruction_and_input() -> None:
    prompt = Prompt(id="p", instruction="Sort.", input="b, a", source="self-instruct")
    row = Answer(id="p", prompt=prompt, answer="a, b", finish_reason="stop", tokens=3)
    assert examples.pairs([row], PACK, assistant_name="Ida", repeats=0) == [Pair("p", "Sort.\n\nb, a", "a, b")]


def test_trap_16_the_order_is_seeded() -> None:
    pairs = [Pair(str(n), f"Q {n}?", f"A {n}.") for n in range(20)]
    assert encoded(pairs)[0] == encoded(pairs)[0] != encoded(pairs, seed=2)[0]


def test_trap_15_a_batch_that_does_not_divide_is_refused() -> None:
    assert batches.accumulation(global_batch=768, micro_batch=16, world=48) == 1
    with pytest.raises(ValueError, match="768 is no multiple of microBatchSize 16 x 96"):
        batches.accumulation(global_batch=768, micro_batch=16, world=96)


@pytest.mark.parametrize("epochs", [1.0, 2.0, 2.5])
def test_every_epoch_shows_every_example_once_in_an_order_of_its_own(epochs: float) -> None:
    lengths = [10 + n % 7 for n in range(101)]
    order = batches.schedule(lengths, micro_batch=4, epochs=epochs, seed=1)
    assert len(order) == round(101 * epochs)
    assert sorted(order[:101]) == list(range(101))
    assert order[:101] != order[101:202]
    assert order == batches.schedule(lengths, micro_batch=4, epochs=epochs, seed=1)


def test_examples_of_like_length_share_a_batch() -> None:
    lengths = [10 if n % 2 else 100 for n in range(64)]
    order = batches.schedule(lengths, micro_batch=4, epochs=1, seed=1)
    mixed = sum(len({lengths[p] for p in order[i : i + 4]}) > 1 for i in range(0, 64, 4))
    assert mixed <= 2
