"""Selects one of several samples of a prompt by their agreement, and keeps limits and help in balance. Pure.

One sample at a time, a small base model refuses a third of the queries that call for no limit; what most of its samples
agree on is refused half as often. This is self-consistency (Wang et al. 2022, arXiv 2203.11171) with two changes for
free text: the vote is over the kind of answer, and within the kind the sample that is closest to the others stands for
them all (the medoid by ROUGE-L).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from selfalign_stages.contract.model import sha256_hex
from selfalign_stages.contract.rows import Answer
from selfalign_stages.text import rouge

NO_AGREEMENT = "no-agreement"
"""Reject reason of a prompt none of whose kinds of answers has a majority."""
UNJUSTIFIED = "unjustified-refusal"
"""Reject reason of a refusal that nothing justifies."""
MISSING_LIMIT = "missing-limit"
"""Reject reason of an answer without a limit, to a prompt that calls for one."""
SURPLUS = "surplus-limit"
"""Reject reason of answers beyond the chosen share of limits."""

StatesLimit = Callable[[Answer], bool]
"""Whether an answer declines or names a limit."""


def select(samples: Sequence[Answer], *, states_limit: StatesLimit) -> Answer:
    """Selects the answer to one prompt.

    Malformed samples (cut, loops, leaks) have no vote. Unjustified refusals have one, for refusing: if most samples
    refuse, the few that help are no sign that the model can. Missing limits have one for helping: if most samples help,
    the prompt has drifted away from its type, or the model does not know the limit.

    Args:
        samples: judged samples of one prompt, at least one.
        states_limit: tells the two kinds of answers apart.

    Returns:
        The sample closest to the others of the majority's kind, under the prompt's id; the first well-formed one with
        NO_AGREEMENT if half of them are of either kind; the first one if all are malformed.
    """
    voters = [sample for sample in samples if sample.reject in (None, UNJUSTIFIED, MISSING_LIMIT)]
    if not voters:
        return _renamed(samples[0])
    (kind, votes), *_ = Counter(map(states_limit, voters)).most_common()
    if 2 * votes <= len(voters):
        return _renamed(voters[0]).model_copy(update={"reject": NO_AGREEMENT})
    agreeing = [sample for sample in voters if states_limit(sample) is kind]
    # A sample that was judged sound stands for its kind before one that was not.
    sound = [sample for sample in agreeing if sample.reject is None] or agreeing
    return _renamed(_medoid(sound))


def balance(answers: Sequence[Answer], *, limit_share: float, states_limit: StatesLimit) -> list[Answer]:
    """Rejects limits until they are at most a fraction of all kept answers.

    Which of them stay follows from a hash of their ids alone, so that a rerun rejects the same ones.

    Args:
        answers: all rows, in the order in which they are returned.
        limit_share: largest fraction of limits among the kept rows, below 1.
        states_limit: as in `select`.
    """
    kept = [answer for answer in answers if answer.reject is None]
    limits = [answer for answer in kept if states_limit(answer)]
    helping = len(kept) - len(limits)
    # limits / (limits + helping) <= share; rounded first, because 0.3 / 0.7 * 7 is a little less than 3.
    room = math.floor(round(limit_share * helping / (1 - limit_share), 9))
    limits.sort(key=lambda answer: sha256_hex(answer.id.encode()))
    surplus = {answer.id for answer in limits[room:]}
    return [answer.model_copy(update={"reject": SURPLUS}) if answer.id in surplus else answer for answer in answers]


def _renamed(sample: Answer) -> Answer:
    return sample.model_copy(update={"id": sample.prompt.id})


def _medoid(samples: Sequence[Answer]) -> Answer:
    """The sample with the highest mean ROUGE-L to the others; the first one among equals."""
    texts = [sample.answer for sample in samples]

    def closeness(position: int) -> float:
        return sum(rouge.rouge_l(texts[position], text) for n, text in enumerate(texts) if n != position)

    return samples[max(range(len(samples)), key=lambda position: (closeness(position), -position))]
