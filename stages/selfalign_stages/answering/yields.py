"""What step answers yielded, as shares that tell whether the rows are fit to train on. Pure.

Step check compares these metrics with `stages.selfAlign.requirements`. A share of kept rows alone says little: under a
grammar every row parses, and a model that refuses everything, or gives one answer to all prompts, is well-formed too.
"""

from collections.abc import Callable, Sequence

from selfalign_stages.contract.rows import Answer
from selfalign_stages.text.language import is_in_language
from selfalign_stages.text.spelling import caseless

LOOP = "loop"
"""Reject reason of answers that end in a generation loop."""


def shares(answers: Sequence[Answer], *, language: str, states_limit: Callable[[Answer], bool]) -> dict[str, float]:
    """Computes the shares, each from 0 to 1 and rounded to four digits.

    Args:
        answers: all rows, kept and rejected, at least one of them kept.
        language: of the pack.
        states_limit: whether an answer declines or names a limit.

    Returns:
        keptShare and loopShare of all rows; of the kept ones refusalShare (decline or name a limit), distinctAnswers
        (texts that differ in more than case, spelling and blanks), languageShare (`is_in_language`) and renumberedShare
        (cite a rule whose number was wrong).
    """
    kept = [answer for answer in answers if answer.reject is None]
    return {
        "keptShare": _share(len(kept), answers),
        "loopShare": _share(sum(answer.reject == LOOP for answer in answers), answers),
        "refusalShare": _share(sum(map(states_limit, kept)), kept),
        "distinctAnswers": _share(len({normalised(answer.answer) for answer in kept}), kept),
        "languageShare": _share(sum(is_in_language(answer.answer, language=language) for answer in kept), kept),
        "renumberedShare": _share(sum(answer.renumbered > 0 for answer in kept), kept),
    }


def normalised(answer: str) -> str:
    """The text in one case and spelling, with single blanks."""
    return " ".join(caseless(answer).split())


def _share(number: int, rows: Sequence[Answer]) -> float:
    return round(number / len(rows), 4)
