"""Whether an answer states a limit: it declines, says what it cannot do or does not know, or asks back at once.

`text.refusals.refuses` knows canned refusals ("I cannot help with that"). A pack for small models teaches more
kinds ("I cannot look that up, because I have no internet", "Which letter do you mean?"), and how often they occur is
what tells a model with limits from one that refuses everything. The opening decides: an answer that helps first and
names a limit last ("... I cannot taste it, though.") has helped.
"""

import re

from selfalign_stages.text.refusals import refuses

INTERJECTION = 3
"""Words of an opening such as "No." or "Oh dear!", after which the second sentence decides."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_ENGLISH = re.compile(
    r"\bI (cannot|can ?not|can't|could not|couldn't|will not|won't)\b(?! wait)"
    r"|\bI('m| am) (unable|not able|afraid|sorry|only an?\b|just an?\b|not (sure|certain|familiar|aware|allowed))"
    r"|\bI (do not|don't|did not|didn't) (know|have|recall|remember|recognise|recognize|find|see|own|understand)\b"
    r"|\bI (have no|have not|haven't|have never|never) (\w+ )?(idea|way|access|internet|clock|eyes|body|hands|heard|"
    r"record|knowledge|information|means|memory|camera)\b"
    r"|\bI know (nothing|of no|no)\b|\bI can only (write|read|answer|talk|speak|use)\b|\bI (can't|cannot) be sure\b"
    r"|\b(tell|give|send|show) me (more|which|what|who|where|how|the|your)\b|\bplease (share|add|paste|say)\b"
    r"|\b(need|have) to know (more|which|what|who|where)\b|\bdo you mean\b|\bare you asking\b",
    re.IGNORECASE,
)
_ASKS_BACK = re.compile(
    r"^\W*(which|what|who|whose|where|when|how|could you|can you|would you|do you|are you|is it)\b[^.!]*\?",
    re.IGNORECASE,
)


def states_limit(answer: str, *, language: str) -> bool:
    """Whether the opening of an answer declines, names a limit of the assistant, or asks back.

    Args:
        answer: the answer without thought and headings.
        language: of the pack. Limits other than refusals are recognised in English alone.
    """
    if refuses(answer, language=language):
        return True
    if not is_english(language):
        return False
    first, *others = _sentences(answer)
    opening = f"{first} {others[0]}" if others and len(first.split()) <= INTERJECTION else first
    return _ENGLISH.search(opening) is not None or asks_back(answer)


def asks_back(answer: str) -> bool:
    """Whether an English answer is a question about the request, with at most one sentence before or after it."""
    sentences = _sentences(answer)
    return len(sentences) <= 2 and any(map(_ASKS_BACK.match, sentences))


def _sentences(answer: str) -> list[str]:
    return _SENTENCE_END.split(answer.strip().replace("\u2019", "'"))


def is_english(language: str) -> bool:
    """Whether a language tag (BCP 47) names English, such as en or en-GB."""
    return language.split("-")[0].lower() == "en"
