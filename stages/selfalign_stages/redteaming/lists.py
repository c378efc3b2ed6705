"""Parses the lists that a base model continues: topics, a question, tasks.

Parsing is total: any text gives a result and never an error, because a base model writes anything. What cannot be
read is counted, so that a prompt format that a model does not follow shows in the counts.
"""

import re

from selfalign_stages.contract.rows import Draft
from selfalign_stages.pack.rendering import NO_INPUT
from selfalign_stages.text.spelling import one_spelling
from selfalign_stages.text.words import length

LONGEST_TOPIC_WORDS = 5
"""Topics are short noun phrases; a longer line is a sentence or a question."""
NUMBERED_LINE = re.compile(r"^\s*\d+[.．、]\s*(.*?)\s*$")
"""A line of the list in the prompt. Its numbers may be digits of any script, with the full stop or comma of it."""
TASK_HEADING = re.compile(r"^Task (\d+)[:：]", re.MULTILINE)
LIST_MARK = re.compile(r"^((\d{1,3}[.)]|[-*•])\s+|\d{1,3}([．、）]|[.)](?=[^\W\d\x00-\x7f]))\s*|[（(]\d{1,3}[）)]\s*)")
"""A number or dot with which models begin the items of a list inside ours. Before scripts that write no blanks, none
follows it; before ASCII one has to, as 3.js and 1.5 show."""
NOTHING = (
    r"none|n/?a|no input|not applicable",
    r"ninguno|ninguna|no aplica|sin (entrada|datos)|vac[ií][oa]",
    r"(无|無|没有|沒有)(输入|内容)?|不适用",
    r"لا شيء|لا يوجد|لا توجد|بدون|غير متوفر",
)
ABSENT = re.compile(
    rf"[(\[]?\s*({one_spelling('|'.join(NOTHING))})\b\s*[)\]]?[\s.\-–—*_]*",
    re.IGNORECASE,
)
"""What models write for an empty input, with rules and dots after it."""
ENDS = ".,;:!?[]…"
"""Marks, in one spelling, with which a line ends that is a sentence, a question or half an item."""
MARKUP = re.compile(r"<[^<>]*>|&#?\w+;")
"""Tags and entities of HTML, which base models have read with many lists."""


def parse_topics(text: str) -> list[str]:
    """Parses the continuation of a numbered list whose first number stands in the prompt.

    Reading stops at the first line without a number: what follows is no longer the list.
    """
    topics = []
    for number, line in enumerate(text.split("\n")):
        topic = line.strip() if number == 0 else (match.group(1) if (match := NUMBERED_LINE.match(line)) else None)
        if topic is None:
            break
        topics.append(topic)
    return topics


def topic_reject_reason(topic: str) -> str | None:
    """Returns why a line is not a topic (empty, markup, too-long, punctuation), or None if it is one."""
    if MARKUP.search(topic):
        return "markup"
    spelled = one_spelling(topic).strip()
    if not any(c.isalnum() for c in spelled):
        return "empty"
    if length(topic) > LONGEST_TOPIC_WORDS:
        return "too-long"
    # Brackets frame "[type; topic]" in the prompt of step questions and would break its lines.
    return "punctuation" if spelled[-1] in ENDS or "[" in topic else None


def parse_question(text: str) -> str:
    """Returns the first line of a continuation, without a list's number."""
    return LIST_MARK.sub("", text.strip().split("\n")[0].strip())


def parse_tasks(draft: Draft, *, first: int) -> tuple[list[tuple[str, str]], int]:
    """Parses the continuation of a task list.

    Args:
        draft: a completion whose prompt ended in "Task FIRST:".
        first: number of the first task that the completion wrote.

    Returns:
        (instruction, input) of every well-formed task, the input empty where the list writes NO_INPUT; and the
        number of items that were cut by the token limit or lack their input line.
    """
    text = f"Task {first}:{draft.text}"
    starts = [match.start() for match in TASK_HEADING.finditer(text)]
    blocks = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    # At the token limit the last item ends anywhere, even where it seems complete.
    complete = blocks[:-1] if draft.finish_reason == "length" else blocks
    tasks, malformed = [], len(blocks) - len(complete)
    # Numbers must continue without gaps: a list that skips or repeats one has lost its structure.
    for number, block in enumerate(complete, start=first):
        # Completions run past the model's invisible end of text (`Decoding.ignore_eos`), and another document follows
        # in the same item. The list has a blank line after each item, so the last one ends at the first of them.
        if draft.finish_reason != "length" and number == first + len(blocks) - 1:
            block = _to_blank_line(block)
        match = re.fullmatch(rf"Task {number}[:：](.*?)\nInput {number}[:：](.*)", block.strip(), re.DOTALL)
        if match is None:
            malformed += 1
            continue
        instruction, input = LIST_MARK.sub("", match.group(1).strip()), match.group(2).strip()
        tasks.append((instruction, "" if _is_absent(input) else input))
    return tasks, malformed


def _is_absent(input: str) -> bool:
    return input.startswith(NO_INPUT) or ABSENT.fullmatch(one_spelling(input).strip()) is not None


def _to_blank_line(block: str) -> str:
    """The block up to the first blank line after its input has begun."""
    head, mark, rest = block.partition("\nInput ")
    return head + mark + rest.split("\n\n", 1)[0]
