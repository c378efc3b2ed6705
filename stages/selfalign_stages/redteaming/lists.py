"""Reads what a model wrote when it went on with a list. Pure and total: any text gives some result."""

import re

from selfalign_stages.contract.rows import Draft
from selfalign_stages.pack.rendering import NO_INPUT

LONGEST_TOPIC_WORDS = 5
NUMBERED = re.compile(r"^\s*\d+\.\s*(.*?)\s*$")


def topics(text: str) -> list[str]:
    """Topics of a continued numbered list whose first number was given; stops at the first line that is none."""
    found = []
    for number, line in enumerate(text.split("\n")):
        topic = line.strip() if number == 0 else (match.group(1) if (match := NUMBERED.match(line)) else None)
        if topic is None:
            break
        found.append(topic)
    return found


def topic_reject_reason(topic: str) -> str | None:
    """Why a line is no topic: empty, too-long, punctuation."""
    if not topic or not any(c.isalnum() for c in topic):
        return "empty"
    if len(topic.split()) > LONGEST_TOPIC_WORDS:
        return "too-long"
    return "punctuation" if topic[-1] in ".,;:!?[]" or "[" in topic else None


def question(text: str) -> str:
    """The first line of a continuation."""
    return text.strip().split("\n")[0].strip()


def tasks(draft: Draft, *, first: int) -> tuple[list[tuple[str, str]], int]:
    """(instruction, input) pairs of a list continued at task `first`, and how many items were cut or torn."""
    text = f"Task {first}:{draft.text}"
    pattern = re.compile(r"^Task (\d+):", re.MULTILINE)
    starts = [match.start() for match in pattern.finditer(text)]
    blocks = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    complete = blocks[:-1] if draft.finish_reason == "length" else blocks
    found, torn = [], len(blocks) - len(complete)
    for number, block in enumerate(complete, start=first):
        match = re.fullmatch(rf"Task {number}:(.*?)\nInput {number}:(.*)", block.strip(), re.DOTALL)
        if match is None:
            torn += 1
            continue
        instruction, input = match.group(1).strip(), match.group(2).strip()
        found.append((instruction, "" if input == NO_INPUT else input))
    return found, torn
