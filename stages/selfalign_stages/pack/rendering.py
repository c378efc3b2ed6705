"""Turns a pack into the prompts of every stage. Pure text.

The fixed part of a prompt always comes first and what varies last, so that an engine with prefix caching computes the
key-value cache of the fixed part (some 2,000 tokens of rules and exemplars) once and not for every record.

Prompts are plain text in one format, that of `chat`, because the base model was not trained on any: few-shot examples
in the prompt are all that teaches it the format, and the tuned model is trained on the same headings.
"""

from collections.abc import Sequence

from selfalign_stages.chat import assistant_heading, user_heading
from selfalign_stages.pack.model import Pack, Principle, SeedTask

RULES_CUE = "I should follow rules"
"""Words in every thought before its rules; thoughts without them are rejected."""
NO_INPUT = "(none)"
"""How an empty input is written in lists of tasks."""
EXAMPLE_HEADING = "## Example"
"""Heading of exemplars, followed by a number; also a stop string."""
CHOICE_PREFIX = "The better answer is"
"""Forced start of the assistant's reply to a choice query; scored continuations are ' A' and ' B'."""


def thoughts_heading(assistant_name: str) -> str:
    """The line above an internal thought."""
    return f"### {assistant_name} (internal thoughts)"


def thought(classification: str, principles: Sequence[Principle]) -> str:
    """Writes an internal thought in the form that `thoughts.parse` reads.

    Args:
        classification: what kind of query it is, as one or more sentences.
        principles: the rules to cite, by number and name.
    """
    rules = ", ".join(f"{principle.number} ({principle.name})" for principle in principles)
    return f"{classification} {RULES_CUE} {rules}."


def self_align_prefix(pack: Pack, *, assistant_name: str, thoughts: bool = True) -> str:
    """Renders introduction, rules and exemplars: the fixed part of the self-align prompt (paper section 3.2).

    Args:
        pack: with rules, exemplars and the frames around them.
        assistant_name: fills {assistantName}.
        thoughts: whether the exemplars' thoughts are shown, in a pack that has them. Without them the frame `examples`
            is left out too, because it announces thoughts in such a pack.

    Returns:
        Text that ends with the heading of one more example, which a query then fills.
    """

    def fill(text: str) -> str:
        return pack.fill(text.strip(), assistant_name=assistant_name)

    rules = "\n".join(f"{p.number} ({p.name}). {fill(p.text)}" for p in pack.principles)
    parts = [f"# {assistant_name}", fill(pack.frames.introduction), "## Rules", rules]
    if thoughts or not pack.has_thoughts:
        parts.append(fill(pack.frames.examples))
    for number, exemplar in enumerate(pack.exemplars, start=1):
        parts.append(f"{EXAMPLE_HEADING} {number}")
        for turn in exemplar.turns:
            parts.append(f"{user_heading()}\n{fill(turn.user)}")
            if thoughts and turn.thought is not None:
                cited = [pack.principle(name) for name in turn.rules]
                parts.append(f"{thoughts_heading(assistant_name)}\n{thought(fill(turn.thought), cited)}")
            parts.append(f"{assistant_heading(assistant_name)}\n{fill(turn.answer)}")
    parts.append(f"{EXAMPLE_HEADING} {len(pack.exemplars) + 1}")
    return "\n\n".join(parts) + "\n\n"


def self_align_prompt(prefix: str, query: str, *, assistant_name: str) -> str:
    """Adds a query to the prefix and opens the internal thought: the model thinks, then answers.

    Args:
        prefix: from `self_align_prefix`.
        query: the user's message.
        assistant_name: as in the prefix.
    """
    return f"{prefix}{user_heading()}\n{query}\n\n{thoughts_heading(assistant_name)}\n"


def direct_prompt(prefix: str, query: str, *, assistant_name: str) -> str:
    """Adds a query to the prefix and opens the answer, without a thought.

    Self-alignment without thoughts generates from it. Evaluation scores the prompted base on candidate answers with it,
    because these have no thought that could be scored with them.

    Args:
        prefix: from `self_align_prefix`.
        query: the user's message.
        assistant_name: as in the prefix.
    """
    return f"{prefix}{user_heading()}\n{query}\n\n{assistant_heading(assistant_name)}\n"


def stop_strings(pack: Pack | None = None) -> tuple[str, ...]:
    """Strings that end an answer: the headings of what would follow it.

    They are text, not token ids: many tokenizers merge the newline with what precedes or follows it, so that no single
    token id stands for the heading. Each ends with its newline, because "### User interfaces" and "## Examples" are
    ordinary headings of a long answer.

    Args:
        pack: whose exemplars the prompt contains, numbered; None for a prompt without exemplars. Models count wrongly,
            so that every number up to the next but one is listed.
    """
    numbers = range(1, len(pack.exemplars) + 4) if pack else ()
    return (f"\n{user_heading()}\n", *(f"\n{EXAMPLE_HEADING} {number}\n" for number in numbers))


def task_list(frame: str, tasks: Sequence[SeedTask]) -> str:
    """Renders demonstrations for self-instruct as a numbered list, open at the next instruction.

    Args:
        frame: text that opens the list (`Frames.self_instruct`).
        tasks: demonstrations; NO_INPUT stands for an empty input, so that every task has the same two lines.
    """
    lines = [frame.strip(), ""]
    for number, task in enumerate(tasks, start=1):
        lines += [f"Task {number}: {task.instruction}", f"Input {number}: {task.input or NO_INPUT}", ""]
    return "\n".join(lines) + f"Task {len(tasks) + 1}:"


def topic_list(frame: str, *, question_type: str, topics: Sequence[str]) -> str:
    """Renders known topics of a question type as a numbered list, open at the next number.

    Args:
        frame: text that opens the list (`Frames.topics`).
        question_type: the type that all topics belong to.
        topics: topics to continue, in order.
    """
    lines = [frame.strip(), "", f"Question type: {question_type}", "Topics:"]
    lines += [f"{number}. {topic}" for number, topic in enumerate(topics, start=1)]
    return "\n".join(lines) + f"\n{len(topics) + 1}."


def question_list(frame: str, *, solved: Sequence[tuple[str, str, str]], question_type: str, topic: str) -> str:
    """Renders solved lines of type, topic and question, open at a question of the requested type and topic.

    Args:
        frame: text that opens the list (`Frames.questions`).
        solved: (type, topic, question) of every demonstration.
        question_type: type of the question to generate.
        topic: its topic.
    """
    lines = [frame.strip(), ""]
    lines += [f"{number}. [{kind}; {about}] {question}" for number, (kind, about, question) in enumerate(solved, 1)]
    return "\n".join(lines) + f"\n{len(solved) + 1}. [{question_type}; {topic}]"


def choice_query(frame: str, *, question: str, first: str, second: str) -> str:
    """Renders a user message that shows two answers as A and B and asks for the better one.

    The form of BIG-bench's hhh_alignment. Scoring asks in both orders, since models prefer a letter or a position.

    Args:
        frame: the question which is better (`Frames.choice`).
        question: what the two answers reply to.
        first: answer A.
        second: answer B.
    """
    return f"{frame.strip()}\n\nQuestion: {question}\n\nAnswer A: {first}\n\nAnswer B: {second}"
