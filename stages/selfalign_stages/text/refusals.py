"""How canned refusals begin, by language.

A base model that imitates chat transcripts declines harmless requests, and training on that teaches over-refusal. Only
openings are compared: later in an answer the same words are ordinary ("the sorry state of the bridge"). Whether a
refusal is justified does not follow from its text: see `answering.lineage`.
"""

import re
import unicodedata

OPENINGS: dict[str, str] = {
    "en": r"i\W?m sorry|i am sorry|sorry\b|i apologi[sz]e|unfortunately,? i|as an ai\b|"
    r"i (cannot|can\W?t|can not|am unable to|am not able to|won\W?t|will not) (help|assist|answer|comply|provide|do)",
    "es": r"lo siento|lo lamento|perd[oó]n\b|disculp[ae]|lamentablemente,? no|me temo que no|"
    r"como (una )?(ia|inteligencia)\b|"
    r"no (puedo|podré|voy a) (ayudar|responder|hacer|dar|proporcionar|cumplir)",
    "fr": r"(je suis )?désolée?\b|je regrette|je m\W?excuse|malheureusement,? je|en tant qu\W?ia\b|"
    r"je ne (peux|puis|vais) pas (vous |t\W?)?(aider|répondre|fournir|faire|donner)",
    "de": r"es tut mir leid|tut mir leid|entschuldig|leider kann ich|als ki\b|"
    r"ich (kann|werde|darf) (ihnen |dir )?(das |dabei |damit |darauf |hierbei )?(leider )?"
    r"nicht (helfen|antworten|tun|geben)",
    "it": r"mi dispiace|mi spiace|scusa(te|mi)?\b|purtroppo,? non|come ia\b|"
    r"non posso (aiutar|rispondere|fornire|fare|dare)",
    "pt": r"desculp[ae]|sinto muito|lamento\b|infelizmente,? (eu )?não|como (uma )?ia\b|"
    r"(eu )?não (posso|vou) (ajudar|responder|fornecer|fazer|dar)",
    "nl": r"het spijt me|sorry\b|helaas kan ik|als ai\b|"
    r"ik kan (je |u )?(daar|hier)?(bij|mee)? ?niet (helpen|antwoorden)",
    "ru": r"извини(те)?\b|прости(те)?\b|к сожалению,? я|мне жаль|"
    r"я не могу (помочь|ответить|предоставить|сделать|выполнить)",
    "zh": r"对不起|抱歉|很抱歉|非常抱歉|很遗憾，?我|不好意思|"
    r"作为(一个)?(ai|人工智能)|我(不能|无法|没办法)(帮|协助|回答|提供|做|满足)",
    "ja": r"申し訳(あり|ござい)ません|すみません|ごめんなさい|残念ながら|"
    r"(それ|その.{0,20})?(お手伝い|お答え|提供|対応)(は|することは)?できません",
    "ko": r"죄송|미안|유감(이지만|스럽게도)|(그것은 |그 .{0,20})?(도와|답변|제공).{0,6}(수 없)",
    "ar": r"آسف|أعتذر|عذرا|عذرًا|للأسف،? لا|"
    r"لا (أستطيع|يمكنني|أقدر) (أن )?(مساعد|أساعد|الإجاب|أجيب|تقديم|أقدم|القيام|فعل)",
    "hi": r"क्षमा कर|माफ़? ?कर|माफ़ ?कीजिए|मुझे खेद|मुझे अफ़?सोस|दुर्भाग्य|मैं .{0,30}(मदद|उत्तर|जवाब|सहायता) नहीं",
    "th": r"ขอโทษ|ขออภัย|เสียใจ|น่าเสียดาย|(ฉัน|ผม|ดิฉัน)ไม่(สามารถ|อาจ)(ช่วย|ตอบ|ให้|ทำ)",
    "tr": r"üzgünüm|özür dile|kusura bakma|maalesef|(bu konuda )?(yardım|yanıt|cevap).{0,10}(edemem|veremem)",
    "pl": r"przepraszam|przykro mi|niestety,? nie|nie (mogę|potrafię) (pomóc|odpowiedzieć|podać|zrobić)",
}
"""Alternatives by the first part of a language tag, in lower case; straight and curly apostrophes are any one mark."""
PATTERNS = {
    language: re.compile(rf"^\W*(?:{unicodedata.normalize('NFC', openings)})", re.IGNORECASE)
    for language, openings in OPENINGS.items()
}


def is_known(language: str) -> bool:
    """Whether refusals in a language (BCP 47 tag) are recognised."""
    return _base(language) in PATTERNS


def refuses(answer: str, *, language: str) -> bool:
    """Whether an answer opens by declining or apologising.

    Args:
        answer: the answer without its thought.
        language: tag (BCP 47) of the pack's language. English openings count in any language, because models that have
            read chat transcripts decline in English.
    """
    text = unicodedata.normalize("NFC", answer)
    patterns = {PATTERNS["en"], PATTERNS.get(_base(language), PATTERNS["en"])}
    return any(pattern.match(text) for pattern in patterns)


def _base(language: str) -> str:
    return language.split("-")[0].lower()
