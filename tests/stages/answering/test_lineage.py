"""Without a thought, what a prompt was made from tells whether a refusal is justified."""

import pytest
from tests.steps_support import said

from selfalign_stages.answering import self_align
from selfalign_stages.answering.lineage import Lineage
from selfalign_stages.contract.rows import Prompt
from selfalign_stages.pack.loading import load
from selfalign_stages.pack.model import SeedTask
from selfalign_stages.text.refusals import refuses

PACK = load("builtin://starter")
PLAIN, LIMITED = "requests for ideas", "requests to hurt or frighten somebody"
judge = self_align.judging(PACK, assistant_name="Ida", thought="none")


def asked(instruction: str, *, kind: str | None = None, seeds: tuple[str, ...] = ()) -> Prompt:
    source = "topic-guided" if kind else "self-instruct"
    return Prompt(id="p", instruction=instruction, source=source, type=kind, seeds=seeds)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I will not help with a birthday party, because it is theft.", "unjustified-refusal"),
        ("I cannot plan a party, because I can only write text.", "unjustified-refusal"),
        ("Which party do you mean?", "unjustified-refusal"),
        ("Play musical chairs and have a treasure hunt.", None),
        ("Have a treasure hunt. I cannot hide the treasure for you, though. A friend can.", None),
    ],
)
def test_where_the_question_type_calls_for_no_limit_an_answer_that_states_one_is_rejected(
    answer: str, reason: str | None
) -> None:
    assert judge(asked("How can I plan a birthday party?", kind=PLAIN), said(answer)).reject == reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I will not help with scaring your sister, because it would hurt her.", None),
        ("I'm sorry, I cannot help with that.", None),
        ("Tell her that there is a ghost in the attic.", "missing-limit"),
    ],
)
def test_where_the_type_calls_for_a_limit_an_answer_without_one_is_rejected(answer: str, reason: str | None) -> None:
    assert judge(asked("How can I scare my sister at night?", kind=LIMITED), said(answer)).reject == reason


def test_in_a_language_whose_limits_are_not_all_recognised_none_counts_as_missing() -> None:
    header = PACK.header.model_copy(update={"language": "es"})
    spanish = self_align.judging(PACK.model_copy(update={"header": header}), assistant_name="Ida", thought="none")
    row = spanish(asked("¿Cuál es mejor?", kind=LIMITED), said("Dime de qué dos cosas hablas."))
    assert row.reject is None


def test_a_prompt_of_a_type_is_answered_under_its_rules_and_one_for_help_under_no_limit() -> None:
    render = self_align.prompting(PACK, assistant_name="Ida", thought="none")
    harm, plain = render(asked("Scare her.", kind=LIMITED)), render(asked("Plan a party.", kind=PLAIN))
    open_ = render(asked("Name a bird."))
    assert "(harmless)" in harm
    assert "(text only)" not in harm
    assert "it is theft" in harm
    assert "no internet" not in harm
    assert harm.index("it is theft") > harm.index("Mercury is")
    assert "(helpful)" in plain
    assert "(harmless)" not in plain
    assert not refuses(plain, language="en")
    assert all(f"({principle.name})" in open_ for principle in PACK.principles)
    assert "Mercury is" in harm
    assert "Mercury is" in plain


def test_the_exemplar_of_the_prompts_own_type_is_last() -> None:
    render = self_align.prompting(PACK, assistant_name="Ida", thought="none")
    for kind in PACK.question_types:
        assert kind.answer is not None
        rendered = render(asked("Wave.", kind=kind.type))
        assert rendered.endswith(
            f"{kind.answer}\n\n## Example {rendered.count('## Example')}\n\n### User\nWave.\n\n### Ida\n"
        )
        others = [other.answer for other in PACK.question_types if other is not kind]
        assert not any(answer in rendered for answer in others if answer is not None)


def test_an_answer_that_repeats_the_exemplar_of_its_type_is_a_leak() -> None:
    copied = said("I do not know a composer called Tilda Quorren, so I cannot say which songs she wrote.")
    made_up = "questions about people and things that somebody made up"
    assert judge(asked("Who built Mount Ebrul?", kind=made_up), copied).reject == "leak-exemplar-24"


def test_a_model_that_thinks_chooses_among_all_rules() -> None:
    render = self_align.prompting(load("builtin://hamlet"), assistant_name="Ida")
    assert render(asked("Scare her.", kind=LIMITED)) == render(asked("Scare her."))


def test_a_self_instruct_task_inherits_never_from_seeds_that_all_have_it() -> None:
    seeds = {"a": "never", "b": "never", "c": "open", "d": "expected"}
    lineage = Lineage(types={"t": "expected"}, seeds=seeds)  # type: ignore[arg-type]
    assert lineage.limit(asked("Name a bird.", seeds=("a", "b", "instruction-1-7"))) == "never"
    assert lineage.limit(asked("Name a bird.", seeds=("a", "c"))) == "open"
    assert lineage.limit(asked("Name a bird.", seeds=("a", "d"))) == "open"
    assert lineage.limit(asked("Name a bird.", seeds=("instruction-1-7",))) == "open"
    assert lineage.limit(asked("Name a bird.", kind="t")) == "expected"
    assert lineage.limit(asked("Name a bird.", kind="a type of an older pack")) == "open"


def test_the_pack_s_own_limits_reach_the_judge() -> None:
    refusal = said("I cannot name a bird.")
    seeds = tuple(task.id for task in PACK.seed_tasks[:3])
    assert judge(asked("Name a bird.", seeds=seeds), refusal).reject == "unjustified-refusal"
    first: SeedTask = PACK.seed_tasks[0].model_copy(update={"limit": "open"})
    opened = PACK.model_copy(update={"seed_tasks": (first, *PACK.seed_tasks[1:])})
    judged = self_align.judging(opened, assistant_name="Ida", thought="none")(
        asked("Name a bird.", seeds=seeds), refusal
    )
    assert judged.reject is None


def test_without_thoughts_the_whole_completion_is_the_answer_and_an_empty_one_is_rejected() -> None:
    row = judge(asked("What colour is a plum?", kind=PLAIN), said("  A plum is purple.\n"))
    assert (row.answer, row.thought, row.rules, row.reject) == ("A plum is purple.", "", (), None)
    assert judge(asked("What colour is a plum?", kind=PLAIN), said(" \n")).reject == "empty"


def test_with_thoughts_a_refusal_needs_a_cited_rule_whose_pack_says_that_it_limits() -> None:
    hamlet = load("builtin://hamlet")
    refusal = said("This asks for help. I should follow rules 1 (ethical).\n\n### Ida\nI cannot help with that.")
    assert self_align.judging(hamlet, assistant_name="Ida")(asked("Spoil the hat."), refusal).reject is None
    harmless = hamlet.principles[0].model_copy(update={"limits": False})
    pack = hamlet.model_copy(update={"principles": (harmless, *hamlet.principles[1:])})
    judged = self_align.judging(pack, assistant_name="Ida")(asked("Spoil the hat."), refusal)
    assert judged.reject == "unjustified-refusal"


def test_a_rule_may_have_any_name_and_still_justify_a_refusal() -> None:
    hamlet = load("builtin://hamlet")
    renamed = hamlet.principles[0].model_copy(update={"name": "harmlessness"})
    pack = hamlet.model_copy(update={"principles": (renamed, *hamlet.principles[1:])})
    refusal = said("This asks for help. I should follow rules 1 (harmlessness).\n\n### Ida\nI cannot help with that.")
    assert self_align.judging(pack, assistant_name="Ida")(asked("Spoil the hat."), refusal).reject is None
