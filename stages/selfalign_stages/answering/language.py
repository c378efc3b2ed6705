"""Whether a short answer is in the pack's language, by script and by its commonest words. Pure.

Not a language identifier: it finds answers that left the language, which small models under a prompt do by the whole
text. An answer counts as foreign only with evidence. Numbers, names and code are in every language.
"""

import re
import unicodedata
from collections import Counter

SCRIPTS: dict[str, tuple[str, ...]] = {
    "ar": ("ARABIC",), "bg": ("CYRILLIC",), "el": ("GREEK",), "fa": ("ARABIC",), "he": ("HEBREW",),
    "hi": ("DEVANAGARI",), "ja": ("HIRAGANA", "KATAKANA", "CJK"), "ko": ("HANGUL",), "ru": ("CYRILLIC",),
    "th": ("THAI",), "uk": ("CYRILLIC",), "zh": ("CJK",),
}  # fmt: skip
"""First words of the Unicode names of a language's letters; LATIN for all that are not listed."""
COMMON: dict[str, frozenset[str]] = {
    "en": frozenset("the of and to is that it for you with are this be have not on at".split()),
    "de": frozenset("der die das und ist nicht ein eine zu den mit sich auf für ich sie dem es".split()),
    "es": frozenset("el los las y que es un una por para con del se lo como su al más".split()),
    "fr": frozenset("le les et est un une des que pour dans du pas qui sur au avec ce il".split()),
    "it": frozenset("il lo gli e è un una di che per con non sono della si del le ha".split()),
    "nl": frozenset("de het een en is van dat niet te zijn op voor met aan er je ik".split()),
    "pt": frozenset("o os as e é um uma que para com não do da se por em na no".split()),
}
"""The commonest words of languages in Latin script, without those that several share in another meaning ("a", "in")."""
LEAST_MARGIN = 2
"""Common words of another language beyond those of the pack's own that make an answer foreign; one may be a name."""
WORD = re.compile(r"[^\W\d_]+")


def is_in_language(text: str, *, language: str) -> bool:
    """Whether nothing speaks against a text being in a language.

    Args:
        text: an answer.
        language: tag (BCP 47), such as en or pt-BR; the part before the first hyphen counts. Of a language in Latin
            script that is not in COMMON only the script is checked.
    """
    language = language.split("-")[0].lower()
    letters = [_script(character) for character in text if character.isalpha()]
    own = SCRIPTS.get(language, ("LATIN",))
    if letters and 2 * sum(script in own for script in letters) < len(letters):
        return False
    if language not in COMMON:
        return True
    words = Counter(WORD.findall(text.lower()))
    shares = {name: sum(words[word] for word in common) for name, common in COMMON.items()}
    return max(shares.values()) - shares[language] < LEAST_MARGIN


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
