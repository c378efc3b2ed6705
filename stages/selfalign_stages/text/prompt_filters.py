"""Filters on machine-made instructions (self-instruct's, with the blacklist on instruction and input alike)."""

import re
import unicodedata

SHORTEST_WORDS, LONGEST_WORDS = 3, 150
BEYOND_TEXT = re.compile(
    r"\b(images?|graphs?|pictures?|files?|maps?|draw|plots?|go to|videos?|audio|music|flowcharts?|diagrams?)\b",
    re.IGNORECASE,
)


def reject_reason(instruction: str, input: str = "") -> str | None:
    """Why a text model should not be asked this: too-short, too-long, beyond-text, bad-start, control-characters."""
    count = len(instruction.split())
    if count < SHORTEST_WORDS:
        return "too-short"
    if count > LONGEST_WORDS:
        return "too-long"
    if BEYOND_TEXT.search(f"{instruction}\n{input}"):
        return "beyond-text"
    if not unicodedata.category(instruction[0]).startswith(("L", "N")) and instruction[0] not in "\"'`([¿¡":
        return "bad-start"
    if any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in instruction + input) or "�" in instruction:
        return "control-characters"
    return None
