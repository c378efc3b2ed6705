"""What lint says about a pack's language: what is not recognised in it, and texts that are in another one. Pure."""

from collections.abc import Iterator

from selfalign_stages.pack import limit_phrases
from selfalign_stages.pack.model import Pack
from selfalign_stages.text import prompt_filters, refusals
from selfalign_stages.text.language import is_in_language

EXCERPT = 60
"""Characters of a pack's text in a message: enough to find it in the file."""


def language_messages(pack: Pack) -> Iterator[str]:
    """Yields a warning for each measure that a run takes and that does not see everything in the pack's language.

    Args:
        pack: a valid, whole pack.
    """
    language = pack.header.language
    answers = [turn.answer for turn in pack.turns]
    foreign = [text for text in answers if not is_in_language(text, language=language)]
    # Some may be translations.
    if 2 * len(foreign) > len(answers):
        yield (
            f"language is {language!r}, and {len(foreign)} of {len(answers)} answers of exemplars are in another one, "
            f"such as {foreign[0][:EXCERPT]!r}: correct language (BCP 47), by which all answers are judged"
        )
    if not refusals.is_known(language):
        yield (
            f"in language {language!r} refusals are not recognised: those in English alone are rejected as unjustified "
            "and count in refusalShare"
        )
    elif not limit_phrases.is_known(language):
        yield (
            f"in language {language!r} canned refusals are recognised, and no other limits: refusalShare and "
            "limitShare count too few, and an answer without the limit that its type expects is kept"
        )
    if not prompt_filters.knows_beyond_text(language):
        yield f"in language {language!r} tasks beyond text, such as drawing, are not recognised: prompts keep them"
