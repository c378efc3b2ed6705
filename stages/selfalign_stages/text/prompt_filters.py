"""Filters on generated instructions, those of Self-Instruct (Wang et al. 2022, arXiv 2212.10560, section 2.2).

Self-Instruct drops instructions that are too short or too long, that name what a language model can neither see nor
make, or that begin with a mark or outside ASCII. As in Dromedary's code, the word list is longer and covers the
instruction's input too, where models like to put the picture, and "Write a program" is no reason. Beyond that, letters
and digits of any script may open an instruction, since packs may be in any language. ROUGE-L deduplication, the other
filter of that section, is in `text.rouge`.
"""

import re
import unicodedata

from selfalign_stages.text.words import words

SHORTEST_WORDS, LONGEST_WORDS = 3, 150
"""Bounds of an instruction, in words separated by blanks. Self-Instruct's code keeps 4 to 150; three words are kept
here, because short instructions such as "Write a haiku" are complete."""
BEYOND_TEXT = re.compile(
    r"\b(images?|graphs?|pictures?|files?|maps?|draw|plots?|go to|videos?|audio|music|flowcharts?|diagrams?)\b",
    re.IGNORECASE,
)
"""Words of tasks beyond text. Whole words only: "withdrawals" and "photographs" pass."""
OPENING_MARKS = "\"'`([¿¡“”„‘’«»「『《（"
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


def reject_reason(instruction: str, input: str = "") -> str | None:
    """Decides whether a text model should be asked an instruction.

    Args:
        instruction: without blanks at its start.
        input: the instruction's input, "" for none.

    Returns:
        The first reason that applies: marker, too-short, too-long, beyond-text, bad-start or control-characters. None:
        keep it.
    """
    if has_marker(instruction) or has_marker(input):
        return "marker"
    # Chinese has no blanks: by blanks, every question in it would be one word.
    count = len(words(instruction)) if not instruction.isascii() else len(instruction.split())
    if count < SHORTEST_WORDS:
        return "too-short"
    if count > LONGEST_WORDS:
        return "too-long"
    if BEYOND_TEXT.search(f"{instruction}\n{input}"):
        return "beyond-text"
    if not unicodedata.category(instruction[0]).startswith(("L", "N")) and instruction[0] not in OPENING_MARKS:
        return "bad-start"
    # Cc are control characters; the replacement character stands for bytes that the tokenizer could not decode.
    controls = any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in instruction + input)
    if controls or "�" in instruction:
        return "control-characters"
    return None
