"""Whether a short answer is in the pack's language, by script and by its commonest words. Pure.

Not a language identifier: it finds answers that left the language, which small models under a prompt do by the whole
text. An answer counts as foreign only with evidence. Numbers, names and code are in every language.
"""

import unicodedata
from collections import Counter

from selfalign_stages.text.words import weight, words

SCRIPTS: dict[str, tuple[str, ...]] = {
    "ar": ("ARABIC",), "bg": ("CYRILLIC",), "el": ("GREEK",), "fa": ("ARABIC",), "he": ("HEBREW",),
    "hi": ("DEVANAGARI",), "ja": ("HIRAGANA", "KATAKANA", "CJK"), "ko": ("HANGUL",), "ru": ("CYRILLIC",),
    "th": ("THAI",), "uk": ("CYRILLIC",), "ur": ("ARABIC",), "zh": ("CJK",),
}  # fmt: skip
"""First words of the Unicode names of a language's letters; LATIN for all that are not listed."""
COMMON: dict[str, frozenset[str]] = {
    "en": frozenset("the of and to is that it for you with are this be have not on at".split()),
    "de": frozenset("der die das und ist nicht ein eine zu den mit sich auf für ich sie dem es".split()),
    "es": frozenset("el los las y que es un una por para con del se lo le como su al más está muy pero".split()),
    "fr": frozenset("le les et est un une des que pour dans du pas qui sur au avec ce il".split()),
    "it": frozenset("il lo gli è un una di che con non sono della del le nel anche più questo".split()),
    "nl": frozenset("het een van is dat niet zijn op voor met aan ik ook bij naar maar wordt".split()),
    "ar": frozenset(words("في من على إلى أن هذا هذه التي الذي ما لا هو هي مع عن كان ذلك")),
    "fa": frozenset(words("در از به که این را با است برای آن یک می شود های من تو نیست")),
    "ur": frozenset(words("میں کے کی سے کو ہے اور نے پر یہ کا نہیں ہیں آپ")),
    "ja": frozenset("のはがをにでとるすまたてしもな"),
    "zh": frozenset("的是这们吗呢你他么很也就我说没會說這們嗎麼沒"),
    "pt": frozenset("é um uma que para não por em são ao dos das mais foi você isso pelo pela".split()),
}
"""The commonest words of languages that share a script, without those that are common in another of them in another
meaning: "a" and "in", but also "de", "en" and "te" of Dutch and "no", "o" and "e" of Portuguese, which would make
foreign texts of Spanish ones. A word that two lists have counts for both. A character is a word in Chinese and
Japanese."""
LEAST_MARGIN = 2
"""Common words of another language beyond those of the pack's own that make an answer foreign; one may be a name."""


def primary(tag: str) -> str:
    """Returns the language of a tag (BCP 47) in lower case, without script and region: zh of zh-Hans-CN."""
    return tag.split("-")[0].lower()


def is_in_language(text: str, *, language: str) -> bool:
    """Whether nothing speaks against a text being in a language.

    Args:
        text: an answer.
        language: tag (BCP 47), such as en or pt-BR; the part before the first hyphen counts. Of a language that is not
            in COMMON only the script is checked.
    """
    language = primary(language)
    own = SCRIPTS.get(language, ("LATIN",))
    found = words(text)
    # By words, not letters: the names of two programming languages have more letters than a whole Chinese sentence.
    weights = Counter[bool]()
    for word in found:
        if any(map(str.isalpha, word)):
            weights[_script(word) in own] += weight(word)
    if weights[True] < weights[False]:
        return False
    if language not in COMMON:
        return True
    numbers = Counter(found)
    shares = {name: sum(numbers[word] for word in common) for name, common in COMMON.items()}
    return max(shares.values()) - shares[language] < LEAST_MARGIN


def _script(word: str) -> str:
    """Script of the first letter of a word."""
    letter = next(filter(str.isalpha, word))
    return unicodedata.name(letter, "").partition(" ")[0]
