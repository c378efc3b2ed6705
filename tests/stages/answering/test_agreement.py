"""Choosing among samples, and the balance of limits and help among what is kept."""

from selfalign_stages.answering import agreement
from selfalign_stages.contract.rows import Answer, Prompt

PROMPT = Prompt(id="p", instruction="Name a bird.", source="self-instruct")


def sample(text: str, *, reject: str | None = None, id_: str = "p") -> Answer:
    prompt = PROMPT.model_copy(update={"id": id_})
    return Answer(id=f"{id_}/1", prompt=prompt, answer=text, finish_reason="stop", tokens=3, reject=reject)


def declines(answer: Answer) -> bool:
    return answer.answer.startswith("I cannot")


def select(*samples: Answer) -> tuple[str, str | None]:
    row = agreement.select(samples, states_limit=declines)
    assert row.id == "p", "the row stands for the prompt"
    return row.answer, row.reject


def test_the_answer_closest_to_the_others_of_the_majority_s_kind_is_kept() -> None:
    samples = map(
        sample, ["I cannot say.", "A gull is a bird.", "The gull is a bird.", "A gull is one bird, a big one."]
    )
    assert select(*samples) == ("A gull is a bird.", None)


def test_a_refusal_is_kept_where_most_samples_refuse() -> None:
    samples = map(sample, ["I cannot say.", "A gull.", "I cannot say that.", "I cannot say so."])
    assert select(*samples) == ("I cannot say.", None)


def test_without_a_majority_the_prompt_is_rejected() -> None:
    assert select(sample("I cannot say."), sample("A gull."))[1] == "no-agreement"


def test_malformed_samples_have_no_vote_and_unjustified_refusals_have_one() -> None:
    cut, unjustified = sample("A gu", reject="cut"), sample("I cannot say.", reject="unjustified-refusal")
    assert select(cut, sample("A gull."), cut) == ("A gull.", None)
    assert select(unjustified, sample("A gull."), unjustified) == ("I cannot say.", "unjustified-refusal")
    assert select(cut, sample("A gull gu", reject="loop")) == ("A gu", "cut")


def test_a_single_sample_stands_for_itself() -> None:
    assert select(sample("A gull.")) == ("A gull.", None)


def test_limits_beyond_their_share_are_rejected_by_a_hash_of_their_ids_whatever_their_order() -> None:
    limits = [sample("I cannot say.", id_=f"l{n}") for n in range(20)]
    helping = [sample("A gull.", id_=f"h{n}") for n in range(7)]
    cut = sample("A gu", reject="cut", id_="c")

    def surplus(rows: list[Answer]) -> set[str]:
        balanced = agreement.balance(rows, limit_share=0.3, states_limit=declines)
        assert [row.id for row in balanced] == [row.id for row in rows]
        assert {row.reject for row in balanced} == {None, "cut", "surplus-limit"}
        return {row.id for row in balanced if row.reject == "surplus-limit"}

    rejected = surplus([*limits, cut, *helping])
    assert len(limits) - len(rejected) == 3, "3 of 10 kept answers are limits"
    assert surplus([*helping, cut, *reversed(limits)]) == rejected


def test_limits_within_their_share_are_all_kept() -> None:
    rows = [sample("I cannot say.", id_="a"), sample("A gull.", id_="b")]
    assert agreement.balance(rows, limit_share=0.5, states_limit=declines) == rows
