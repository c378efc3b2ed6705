"""Prompts of one's own: their rows, their shares, and their place among the prompts of a run."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.stages.redteaming.step_builders import PACK, published_rows
from tests.steps_support import artifact, context

from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.parameters import PromptsParameters
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.contract.task import Leaf, Task
from selfalign_stages.redteaming import own_prompts, prompts

TASKS = ["Name three birds", "Count these stones", "Explain the tides", "Fold this paper twice", "Sing a low tune"]


def task(folder: Path, *texts: str) -> Task:
    """A step with a file for each text."""
    leaves = {}
    for number, text in enumerate(texts):
        path = folder / f"{number}.jsonl"
        path.write_text(text)
        leaves[f"promptSource:{number}"] = Leaf(uri=path.as_uri())
    return context(folder, "prompts").task.model_copy(update={"leaves": leaves})


def lines(*rows: Mapping[str, object]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def own(number: int, *texts: str) -> list[Prompt]:
    return [Prompt(id=f"own-{number}-{n}", instruction=text, source="own") for n, text in enumerate(texts, start=1)]


def generated(*texts: str) -> list[Prompt]:
    return [Prompt(id=f"made-{n}", instruction=text, source="self-instruct") for n, text in enumerate(texts)]


def select(
    *files: list[Prompt],
    limits: tuple[int, ...],
    made: list[Prompt] | None = None,
    held_out: tuple[str, ...] = (),
    limit: int = 99,
    seed: int = 1,
) -> dict[str, str | None]:
    settings = PromptsParameters(prompts=limit, dedup_rouge_l=0.7, decontaminate=True, own_prompts=limits)
    judged = prompts.select([], made or [], files, pack=PACK, held_out=held_out, settings=settings, seed=seed)
    return {prompt.id: prompt.reject for prompt in judged if prompt.source != "seed"}


def test_the_id_of_a_prompt_names_its_file_and_line(tmp_path: Path) -> None:
    first, second = own_prompts.read(
        task(tmp_path, lines({"instruction": "a", "id": 7}, {"instruction": "b"}), lines({"prompt": "c"}))
    )
    assert [(p.id, p.instruction, p.source) for p in first + second] == [
        ("own-0-1", "a", "own"),
        ("own-0-2", "b", "own"),
        ("own-1-1", "c", "own"),
    ]


def test_a_tenth_file_comes_after_the_second(tmp_path: Path) -> None:
    files = own_prompts.read(task(tmp_path, *(lines({"prompt": f"text {number}"}) for number in range(12))))
    assert [file[0].id for file in files] == [f"own-{number}-1" for number in range(12)]


def test_a_row_may_have_an_input_and_columns_without_a_value(tmp_path: Path) -> None:
    text = lines(
        {"instruction": " Shorten it. ", "input": "A long text.\n", "output": 3}, {"prompt": "b", "instruction": None}
    )
    ((first, second),) = own_prompts.read(task(tmp_path, text))
    assert (first.instruction, first.input, first.text) == (
        "Shorten it.",
        "A long text.",
        "Shorten it.\n\nA long text.",
    )
    assert (second.instruction, second.input) == ("b", "")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": "a"}, "line 2: has neither instruction nor prompt; the text is in one of these columns"),
        ({"instruction": None}, "line 2: has neither instruction nor prompt"),
        ({"instruction": "a", "prompt": "b"}, "line 2: has both instruction and prompt: remove one"),
        ({"prompt": " \n"}, "line 2: prompt is empty: write its text, or remove the row"),
        ({"instruction": 7}, "line 2: instruction: Input should be a valid string (is '7')"),
        ({"instruction": "a", "input": ["b"]}, "line 2: input: Input should be a valid string"),
    ],
)
def test_a_row_without_a_text_is_refused_with_file_and_line(
    tmp_path: Path, row: dict[str, object], problem: str
) -> None:
    with pytest.raises(BadInput) as raised:
        own_prompts.read(task(tmp_path, lines({"prompt": "fine"}), lines({"prompt": "fine"}, row)))
    assert str(raised.value).startswith("spec.stages.redTeaming.promptSources[1].uri 'file://")
    assert problem in str(raised.value)


def test_a_source_with_an_empty_line_is_refused_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="line 2: is empty"):
        own_prompts.read(task(tmp_path, f"{lines({'prompt': 'a'})}\n{lines({'prompt': 'b'})}"))


def test_the_seed_chooses_which_prompts_fill_a_share() -> None:
    chosen = [select(own(0, *TASKS), limits=(2,), seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert all(sorted(map(str, verdicts.values())) == ["None"] * 2 + ["over-share"] * 3 for verdicts in chosen)
    assert chosen[0] == chosen[1]
    assert len({str(sorted(verdicts.items())) for verdicts in chosen}) > 1


def test_prompts_of_ones_own_are_deduplicated_and_decontaminated_but_not_filtered() -> None:
    file = own(0, "Go", "How deep is the harbour?", "Name three birds")
    made = generated("How deep is the harbour, Otto?", "Hm")
    assert select(file, limits=(3,), made=made, held_out=("name three birds",)) == {
        "own-0-1": None,  # a model's would be too short
        "own-0-2": None,
        "own-0-3": "contamination",
        "made-0": "duplicate",
        "made-1": "too-short",
    }


def test_what_is_over_a_share_displaces_nothing() -> None:
    file = own(0, *TASKS)
    verdicts = select(file, own(1, *TASKS), limits=(1, 1), made=generated(*TASKS))
    first, second = (
        [id_ for id_, reject in verdicts.items() if id_.startswith(f"own-{n}") and reject is None] for n in (0, 1)
    )
    assert len(first) == len(second) == 1 and first[0][-1] != second[0][-1]
    taken = {TASKS[int(id_[-1]) - 1] for id_ in first + second}
    assert {TASKS[int(id_[-1])] for id_, reject in verdicts.items() if id_.startswith("made") and reject} == taken


def test_a_limit_cuts_generated_prompts_before_ones_own() -> None:
    verdicts = select(own(0, *TASKS[:2]), limits=(2,), made=generated(*TASKS[2:]), limit=3)
    assert [verdicts[f"own-0-{n}"] for n in (1, 2)] == [None, None]
    assert sorted(str(verdicts[f"made-{n}"]) for n in range(3)) == ["None", "over-limit", "over-limit"]


def test_the_step_counts_prompts_of_ones_own_by_verdict(tmp_path: Path) -> None:
    text = lines(*({"instruction": text} for text in [*TASKS, TASKS[0]]))
    step = context(
        tmp_path,
        "prompts",
        parameters=PromptsParameters(prompts=9, dedup_rouge_l=0.7, decontaminate=False, own_prompts=(3,)),
        inputs={"instructions": artifact(tmp_path, "instructions", generated("Tie this knot again"))},
        leaves={"pack:queries": "builtin://hamlet"} | {n: leaf.uri for n, leaf in task(tmp_path, text).leaves.items()},
    )
    manifest = prompts.run(step)
    assert (manifest.counts.kept, manifest.counts.rejected) == (4, {"duplicate": 1, "over-share": 2})
    assert [p.source for p in published_rows(step, manifest, Prompt)] == ["own"] * 6 + ["self-instruct"]


def test_a_run_with_prompts_of_its_own_alone_needs_no_generated_ones(tmp_path: Path) -> None:
    step = context(
        tmp_path,
        "prompts",
        parameters=PromptsParameters(prompts=5, dedup_rouge_l=0.7, decontaminate=False, own_prompts=(5,)),
        leaves={"pack:queries": "builtin://hamlet"}
        | {name: leaf.uri for name, leaf in task(tmp_path, lines(*({"prompt": t} for t in TASKS))).leaves.items()},
    )
    assert prompts.run(step).counts.kept == 5
