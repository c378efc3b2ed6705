"""How an answer states a limit or asks back, by language. What a language lacks here is not recognised in it.

A further language is a further entry. Its patterns are written in any spelling and in any case, and with ASCII
punctuation: they are compared with text in one spelling (`text.spelling`), in which "؟" and "？" are "?". A pattern
must name the assistant as the one who cannot, as "I cannot" does: "cats cannot fly" helps.
"""

import re
from dataclasses import dataclass

from selfalign_stages.text.language import primary
from selfalign_stages.text.spelling import one_spelling


@dataclass(frozen=True)
class Phrases:
    """The patterns of a language.

    Attributes:
        limit: occurs in the opening of an answer that states a limit.
        question: matches the beginning of a sentence that asks back, up to its question mark.
    """

    limit: re.Pattern[str]
    question: re.Pattern[str]


def _phrases(*, limit: tuple[str, ...], question: str) -> Phrases:
    return Phrases(
        limit=re.compile(one_spelling("|".join(limit)), re.IGNORECASE),
        question=re.compile(one_spelling(question), re.IGNORECASE),
    )


PHRASES: dict[str, Phrases] = {
    "en": _phrases(
        limit=(
            r"\bI (cannot|can ?not|can't|could not|couldn't|will not|won't)\b(?! wait)",
            r"\bI('m| am) (unable|not able|afraid|sorry|only an?\b|just an?\b|"
            r"not (sure|certain|familiar|aware|allowed))",
            r"\bI (do not|don't|did not|didn't) (know|have|recall|remember|recognise|recognize|find|see|own|"
            r"understand)\b",
            r"\bI (have no|have not|haven't|have never|never) (\w+ )?(idea|way|access|internet|clock|eyes|body|hands|"
            r"heard|record|knowledge|information|means|memory|camera)\b",
            r"\bI know (nothing|of no|no)\b|\bI can only (write|read|answer|talk|speak|use)\b",
            r"\bI (can't|cannot) be sure\b",
            r"\b(tell|give|send|show) me (more|which|what|who|where|how|the|your)\b|\bplease (share|add|paste|say)\b",
            r"\b(need|have) to know (more|which|what|who|where)\b|\bdo you mean\b|\bare you asking\b",
        ),
        question=r"^\W*(which|what|who|whose|where|when|how|could you|can you|would you|do you|are you|is it)\b"
        r"[^.!]*\?",
    ),
    "es": _phrases(
        limit=(
            r"\bno ((te|le|os|les|se|lo|la|los|las|me) ){0,2}(puedo|pude|podr[eé]|logro|consigo)\b(?! esperar)",
            r"\b(no voy|me niego) a\b|\bno me es posible\b|\bno soy capaz\b|\bno (te|le|os|les) ayudar[eé]\b",
            # Without its accent "sé" is the pronoun of "no se debe", unless a question word follows.
            r"\bno (lo )?sé\b|\bno (lo )?se (qu[eé]|si|d[oó]nde|c[oó]mo|cu[aá]l|qui[eé]n)\b",
            r"\bno (lo |la )?(conozco|recuerdo|veo|encuentro|entiendo|comprendo|reconozco|estoy segur[oa])\b",
            r"\bno (tengo|dispongo de|cuento con) (\w+ ){0,2}?(acceso|internet|conexi[oó]n|informaci[oó]n|datos|reloj|"
            r"calendario|ojos|cuerpo|manos|piernas|c[aá]mara|idea|forma|manera|modo|memoria|constancia|noticia)\b",
            r"\b(desconozco|nunca he (visto|o[ií]do))\b|\bno he o[ií]do\b|\bno estaba (all[ií]|contigo)\b",
            r"\b(solo|s[oó]lo|[uú]nicamente) (puedo|s[eé]) (escribir|leer|responder|contestar|hablar|usar)",
            r"\bsoy (solo|s[oó]lo|[uú]nicamente) una?\b",
            r"\b(dime|d[ií]game|cu[eé]ntame|expl[ií]came|ind[ií]came|env[ií]ame|p[aá]same|acl[aá]rame|mu[eé]strame) "
            r"(\w+ )?(m[aá]s|qu[eé]|cu[aá]l(es)?|qui[eé]n(es)?|d[oó]nde|el|la|los|las|tu|su)\b",
            r"\bnecesito (saber|m[aá]s)\b|\bte refieres\b|\bse refiere usted\b|\best[aá]s preguntando\b",
        ),
        question=r"^\W*((a|de|en|para|por|con) )?(qu[eé]|cu[aá]l(es)?|qui[eé]n(es)?|d[oó]nde|cu[aá]ndo|c[oó]mo|"
        r"cu[aá]nt[oa]s?|te refieres|quieres|est[aá]s|(puedes?|podr[ií]as?) (decir|aclarar|explicar|indicar|dar|enviar|"
        r"concretar|precisar)\w*)\b[^.!]*\?",
    ),
    "zh": _phrases(
        limit=(
            r"我(也|还|是|暂时|現在|现在)?(无法|没法|没办法|不能|不会|不可以|做不到|無法|沒法|沒辦法|不會)",
            r"^\W*(目前|暂时|现在)?(无法|没法|没办法|不能帮|做不到|無法|沒辦法)",
            r"^\W*(不知道|不清楚|不认识|不認識)(?=\W|$|你|您|是|谁|哪|什么|他|她|这|那)",
            r"我(也|还|并|並)?不(太|是很)?(知道|认识|了解|清楚|确定|记得|明白|懂|熟悉|認識|確定|記得)",
            r"我(也|还|从|从来|從來)?没(有)?(听说过|听过|见过|看过)|我(也|還|從)?沒(有)?(聽說過|聽過|見過)",
            r"我(也|还)?(没有|没|无|沒有|沒)[^,.!?]{0,4}?(联网|网络|互联网|上网|连接|眼睛|身体|手|脚|时钟|钟表|日历|摄像头|"
            r"信息|资料|记录|办法|权限|記錄|資料|網路|連網)",
            r"我[^,.!?]{0,4}?(看|查|听|做|打|帮|去|碰|摸|认|找|读|想|查詢)不(到|了|见|清|着|出)",
            r"我(只能|只会|只會|仅能)(写|读|看|回答|处理|用|说|提供|寫)|我只是(一个|个|一款|一個)?(程序|程式|语言模型|人工智能|ai)",
            r"请(你|您)?(再|先)?(告诉|告知)我(更多|是?哪|是?什么|是?谁|具体|你|您)|请(你|您)?(说明|补充|提供)(一下|更多|你|您|具体|详细|"
            r"是?哪|是?什么)|請(你|您)?(告訴|告知)我|请(你|您)?(再)?(说|讲)(得)?(清楚|具体|详细)",
            r"(你|您)(是)?(指|说|问|指的|说的|問)的?是(什么|哪|谁|什麼|誰)|(需要|得|想)(先)?知道(更多|是?哪|是?什么|是?谁)",
        ),
        question=r"^\W*(请问|請問|哪|什么|什麼|谁|怎么|多少|你(是)?(指|说|要|想|问)|您(是)?(指|说|要|想|问)|能(不能)?告诉我|可以告诉我)"
        r"[^.!]*\?",
    ),
    "ar": _phrases(
        limit=(
            r"\bو?(لا|لن|لم) (أستطيع|أستطع|يمكنني|أقدر|أتمكن|يسعني|أعرف|أعلم|أدري|أتذكر|أرى|أفهم|أملك|أمتلك|أجد|أساعد|"
            r"أقوم|أفعل|أسمع|أعثر)\b",
            r"\bو?(ليس|ليست|لا يوجد|لا توجد|ما) (لدي|عندي|معي|بإمكاني|بوسعي|في وسعي)\b",
            r"\b(لست (قادرا|متأكدا|متأكدة|على علم|واثقا)|غير (قادر|متأكد)|يتعذر علي|لا علم لي|أجهل|يستحيل علي)\b",
            r"\b(أستطيع|يمكنني|أقدر) (فقط|أن أكتب فقط|أن أقرأ فقط|الكتابة فقط)|\bلا (أستطيع|يمكنني) إلا\b",
            r"\b(أنا|إنني|لأنني|لأني) (مجرد|فقط) (برنامج|نموذج)",
            r"\b(أخبرني|أخبريني|قل لي|قولي لي|وضح لي|أرسل لي|أعطني|حدد لي|أرني|اذكر لي) "
            r"(ما|من|أي|عن|المزيد|بالمزيد|ماذا|أين|متى|ال\w+|\w+ك)\b",
            r"\b(يرجى|أرجو|من فضلك) (توضيح|تحديد|إرسال|ذكر|إخباري|وضح|حدد|أرسل|أخبرني|اذكر|أن توضح|أن تحدد|"
            r"أن تخبرني)\b",
            r"\b(تقصد|تقصدين|تعني) *\?|\b(ماذا|ما الذي|هل|أي \w+|من|عم) (تقصد|تقصدين|تعني)\b|"
            r"\bأحتاج (إلى )?(معرفة|مزيد|المزيد|أن أعرف)\b",
        ),
        question=r"^\W*(ما|ماذا|من|أي|أية|أين|متى|كيف|كم|لماذا|هل|عم|عن أي|عن ماذا|إلى أين|إلى أي|في أي|أيهما)\b"
        r"[^.!]*\?",
    ),
}
"""Phrases by the first part of a language tag (BCP 47)."""


def of(language: str) -> tuple[Phrases, ...]:
    """Returns the phrases that count in a pack's language: its own, and the English ones.

    Models that have read chat transcripts in English decline in English, whatever the prompt's language is.

    Args:
        language: tag (BCP 47), such as es or zh-Hans.
    """
    names = ("en", *({primary(language)} & PHRASES.keys() - {"en"}))
    return tuple(PHRASES[name] for name in names)


def is_known(language: str) -> bool:
    """Whether limits other than canned refusals are recognised in a language (BCP 47 tag)."""
    return primary(language) in PHRASES
