"""Whether an answer states a limit: it declines, says what it cannot do or does not know, or asks back at once.

`text.refusals.refuses` knows canned refusals ("I cannot help with that"). A pack for small models teaches more
kinds ("I cannot look that up, because I have no internet", "Which letter do you mean?"), and how often they occur is
what tells a model with limits from one that refuses everything. The opening decides: an answer that helps first and
names a limit last ("... I cannot taste it, though.") has helped. The words are in `limit_phrases`, by language.
"""

import re

from selfalign_stages.pack import limit_phrases
from selfalign_stages.text.refusals import refuses
from selfalign_stages.text.spelling import one_spelling
from selfalign_stages.text.words import length

INTERJECTION = 3
"""Words of an opening such as "No." or "Oh dear!", after which the second sentence decides."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def states_limit(answer: str, *, language: str) -> bool:
    """Whether the opening of an answer declines, names a limit of the assistant, or asks back.

    Args:
        answer: the answer without thought and headings.
        language: of the pack. Of a language that `limit_phrases` lacks, canned refusals alone are recognised.
    """
    if refuses(answer, language=language):
        return True
    first, *others = _sentences(answer)
    opening = f"{first} {others[0]}" if others and length(first) <= INTERJECTION else first
    return any(phrases.limit.search(opening) for phrases in limit_phrases.of(language)) or asks_back(
        answer, language=language
    )


def asks_back(answer: str, *, language: str) -> bool:
    """Whether an answer is a question about the request, with at most one sentence before or after it.

    Args:
        answer: the answer without thought and headings.
        language: of the pack.
    """
    sentences = _sentences(answer)
    return len(sentences) <= 2 and any(
        phrases.question.match(sentence) for phrases in limit_phrases.of(language) for sentence in sentences
    )


def _sentences(answer: str) -> list[str]:
    # In one spelling every full stop and question mark is an ASCII one, with a blank after those of East Asia.
    return _SENTENCE_END.split(one_spelling(answer).strip().replace("\u2019", "'"))
