"""How canned refusals begin, by language.

A base model that imitates chat transcripts declines harmless requests, and training on that teaches over-refusal. Only
openings are compared: later in an answer the same words are ordinary ("the sorry state of the bridge"). Whether a
refusal is justified does not follow from its text: see `answering.lineage`.
"""

import re

from selfalign_stages.text.language import primary
from selfalign_stages.text.spelling import one_spelling

OPENINGS: dict[str, str] = {
    "en": r"i\W?m sorry|i am sorry|sorry\b|i apologi[sz]e|unfortunately,? i|as an ai\b|"
    r"i (cannot|can\W?t|can not|am unable to|am not able to|won\W?t|will not) (help|assist|answer|comply|provide|do)",
    "es": r"lo siento|lo sentimos|lo lamento|lamento (no|mucho|decir)|perd[oó]n\b|perd[oó]na(me)?,|"
    r"disculp(a|e|as|en)\b|(lamentable|desafortunada|desgraciada|infortunada)mente,? no|me temo que no|me niego a|"
    r"como (una? )?(ia|inteligencia artificial|modelo de lenguaje|asistente (virtual|de ia))\b|"
    r"(yo )?no (te |le |os |les |me )?(puedo|podemos|podr[eé]|podr[ií]a|voy a|es posible|est[aá] permitido) "
    r"(ayudar|asistir|responder|contestar|hacer|dar|proporcionar|ofrecer|facilitar|cumplir|decir|explicar|ense[nñ]ar)|"
    r"no (te|le|os|les) ayudar[eé]\b",
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
    "zh": r"(我|真的?|很|非常|十分|实在|万分|深感|實在)*(抱歉|对不起|對不起|不好意思|歉意)|"
    r"(很|非常)?(遗憾|可惜|遺憾)\W*我|恕难从命|我拒绝|"
    r"(作为|作為|身为)(一个|一名|一位|一款|一個)?(ai|人工智能|人工智慧|语言模型|語言模型|大语言模型|智能助手)|"
    r"(恕)?我(不能|无法|没办法|没法|不会|不可以|難以|难以|無法|沒辦法|沒法|不會)(再)?(直接)?"
    r"((为|给|向|替|教|跟|對|对|為|給)[你您])?"
    r"(帮|协助|回答|提供|做|满足|透露|告诉|告訴|参与|支持|教|解答|完成|执行|说明|幫|協助|滿足|參與)",
    "ja": r"申し訳(あり|ござい)ません|すみません|ごめんなさい|残念ながら|"
    r"(それ|その.{0,20})?(お手伝い|お答え|提供|対応)(は|することは)?できません",
    "ko": r"죄송|미안|유감(이지만|스럽게도)|(그것은 |그 .{0,20})?(도와|답변|제공).{0,6}(수 없)",
    "ar": r"(أنا |إني |إنني )?(آسف|آسفة|أعتذر|نعتذر|نأسف|متأسف)\b|عذرا\b|معذرة|يؤسفني|"
    r"(للأسف|مع الأسف)\W+(لا|لن|لم|ليس)|أرفض\b|(بصفتي|كوني) (نموذج|برنامج|مساعد|ذكاء)|"
    r"(لا|لن) (أستطيع|يمكنني|أقدر|يسعني|أتمكن من|أكون قادرا على) "
    r"(أن )?(ال)?"
    r"(مساعد|أساعد|إجاب|أجيب|رد|تقديم|أقدم|قيام|أقوم|فعل|أفعل|تلبية|تنفيذ|إعطا|أعطي|تزويد|أزود|أخبر|شرح|أشرح)|"
    r"لن (أساعد|أجيب|أقدم|أشرح|أعطي|أقوم ب)",
    "hi": r"क्षमा कर|माफ़? ?कर|माफ़ ?कीजिए|मुझे खेद|मुझे अफ़?सोस|दुर्भाग्य|मैं .{0,30}(मदद|उत्तर|जवाब|सहायता) नहीं",
    "th": r"ขอโทษ|ขออภัย|เสียใจ|น่าเสียดาย|(ฉัน|ผม|ดิฉัน)ไม่(สามารถ|อาจ)(ช่วย|ตอบ|ให้|ทำ)",
    "tr": r"üzgünüm|özür dile|kusura bakma|maalesef|(bu konuda )?(yardım|yanıt|cevap).{0,10}(edemem|veremem)",
    "pl": r"przepraszam|przykro mi|niestety,? nie|nie (mogę|potrafię) (pomóc|odpowiedzieć|podać|zrobić)",
}
"""Alternatives by the first part of a language tag, in lower case; straight and curly apostrophes are any one mark.
Patterns and answers are compared in one spelling (`text.spelling`), so that punctuation is ASCII on both sides."""
PATTERNS = {
    language: re.compile(rf"^\W*(?:{one_spelling(openings)})", re.IGNORECASE) for language, openings in OPENINGS.items()
}


def is_known(language: str) -> bool:
    """Whether refusals in a language (BCP 47 tag) are recognised."""
    return primary(language) in PATTERNS


def refuses(answer: str, *, language: str) -> bool:
    """Whether an answer opens by declining or apologising.

    Args:
        answer: the answer without its thought.
        language: tag (BCP 47) of the pack's language. English openings count in any language, because models that have
            read chat transcripts decline in English.
    """
    text = one_spelling(answer)
    patterns = {PATTERNS["en"], PATTERNS.get(primary(language), PATTERNS["en"])}
    return any(pattern.match(text) for pattern in patterns)
