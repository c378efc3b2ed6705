"""Filters on generated instructions, those of Self-Instruct (Wang et al. 2022, arXiv 2212.10560, section 2.2).

Self-Instruct drops instructions that are too short or too long, that name what a language model can neither see nor
make, or that begin with a mark or outside ASCII. As in Dromedary's code, the word list is longer and covers the
instruction's input too, where models like to put the picture, and "Write a program" is no reason. Beyond that, letters
and digits of any script may open an instruction, and the words are those of the pack's language. ROUGE-L
deduplication, the other filter of that section, is in `text.rouge`.
"""

import re
import unicodedata

from selfalign_stages.text.language import primary
from selfalign_stages.text.spelling import one_spelling
from selfalign_stages.text.words import length

SHORTEST_WORDS, LONGEST_WORDS = 3, 150
"""Bounds of an instruction, in words (`words.length`). Self-Instruct's code keeps 4 to 150; three words are kept here,
because short instructions such as "Write a haiku" are complete."""
BEYOND_TEXT: dict[str, str] = {
    "en": r"\b(images?|graphs?|pictures?|files?|maps?|draw|plots?|go to|videos?|audio|music|flowcharts?|diagrams?)\b",
    "es": r"\b(im[aá]gen(es)?|gr[aá]fic[oa]s?|fotos?|fotograf[ií]as?|archivos?|ficheros?|mapas?|dibuj(a|ar|e|en)|"
    r"v[ií]deos?|audios?|m[uú]sica|diagramas?)\b",
    "zh": r"图片|图像|照片|图表|(?<![动漫书油国])画(一|出|个|张|幅|下)|绘制|视频|音频|音乐|录音|附件|地图|流程图|"
    r"示意图|截图|圖片|圖像|圖表|畫一|視頻|影片|音樂|檔案|地圖|流程圖",
    "ar": r"\b(و|ف|ل)?(ال)?(صورة|صور|رسم بياني|ارسم|ارسمي|فيديو|تسجيل صوتي|موسيقى|خريطة|خرائط|ملف|ملفات)\b",
}
"""Words of tasks beyond text, by the first part of a language tag. Whole words only: "withdrawals" and "photographs"
pass. In other languages no instruction is rejected for it."""
_BEYOND_TEXT = {language: re.compile(one_spelling(words), re.IGNORECASE) for language, words in BEYOND_TEXT.items()}
OPENING_MARKS = "\"'`([¿¡“”„‘’«»「『《〈【﴿"
"""Marks that a good instruction may begin with, besides letters and digits."""
HEADING = re.compile(r"^\s*### \S+.*$|^\s*## Example \d+|\(internal thoughts\)", re.MULTILINE)
"""Headings of this project's prompts: a query that contains one would end, and another turn begin."""
SPECIAL_TOKEN = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|<(eos|bos|pad|unk|start_of_turn|end_of_turn)>", re.IGNORECASE)
"""Special tokens of common tokenizers as text, which a tokenizer turns into the tokens themselves: in a training row,
an end of text in the middle of a sentence. `</s>` also ends struck-out text in HTML, which is rare enough to lose."""


def has_special_token(text: str) -> bool:
    """Whether a text contains what a tokenizer may read as one of its special tokens."""
    return SPECIAL_TOKEN.search(text) is not None


def has_marker(text: str) -> bool:
    """Whether a text contains a heading of the prompt format or the text of a special token."""
    return HEADING.search(text) is not None or has_special_token(text)


def knows_beyond_text(language: str) -> bool:
    """Whether tasks beyond text are recognised in a language (BCP 47 tag)."""
    return primary(language) in _BEYOND_TEXT


def reject_reason(instruction: str, input: str = "", *, language: str) -> str | None:
    """Decides whether a text model should be asked an instruction.

    Args:
        instruction: without blanks at its start.
        input: the instruction's input, "" for none.
        language: of the pack (BCP 47 tag).

    Returns:
        The first reason that applies: marker, too-short, too-long, beyond-text, bad-start or control-characters. None:
        keep it.
    """
    if has_marker(instruction) or has_marker(input):
        return "marker"
    count = length(instruction)
    if count < SHORTEST_WORDS:
        return "too-short"
    if count > LONGEST_WORDS:
        return "too-long"
    beyond_text = _BEYOND_TEXT.get(primary(language))
    if beyond_text and beyond_text.search(one_spelling(f"{instruction}\n{input}")):
        return "beyond-text"
    # Without marks of direction, with which texts that run from right to left may begin.
    first = one_spelling(instruction)[:1] or " "
    if not unicodedata.category(first).startswith(("L", "N")) and first not in OPENING_MARKS:
        return "bad-start"
    # Cc are control characters; the replacement character stands for bytes that the tokenizer could not decode.
    controls = any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in instruction + input)
    if controls or "�" in instruction:
        return "control-characters"
    return None
