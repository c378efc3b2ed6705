"""Turns a pack into the prompts of every stage. Pure text; the fixed part always comes first, so that an
engine's prefix cache computes it once.
"""

from collections.abc import Sequence

from selfalign_stages.chat import assistant_heading, user_heading
from selfalign_stages.pack.model import Pack, Principle, SeedTask

RULES_CUE = "I should follow rules"
NO_INPUT = "(none)"
EXAMPLE_HEADING = "## Example"


def thoughts_heading(assistant_name: str) -> str:
    """The line above an internal thought."""
    return f"### {assistant_name} (internal thoughts)"


def thought(classification: str, principles: Sequence[Principle]) -> str:
    """An internal thought: what the query is, then the rules by number and name."""
    rules = ", ".join(f"{p.number} ({p.name})" for p in principles)
    return f"{classification} {RULES_CUE} {rules}."


def self_align_prefix(pack: Pack, *, assistant_name: str) -> str:
    """Introduction, rules and exemplars up to and including the heading of the example that a query becomes."""

    def fill(text: str) -> str:
        return pack.fill(text.strip(), assistant_name=assistant_name)

    rules = "\n".join(f"{p.number} ({p.name}). {fill(p.text)}" for p in pack.principles)
    parts = [f"# {assistant_name}", fill(pack.frames.introduction), "## Rules", rules, fill(pack.frames.examples)]
    for number, exemplar in enumerate(pack.exemplars, start=1):
        parts.append(f"{EXAMPLE_HEADING} {number}")
        for turn in exemplar.turns:
            named = [pack.principle(name) for name in turn.rules]
            parts += [
                f"{user_heading()}\n{fill(turn.user)}",
                f"{thoughts_heading(assistant_name)}\n{thought(fill(turn.thought), named)}",
                f"{assistant_heading(assistant_name)}\n{fill(turn.answer)}",
            ]
    parts.append(f"{EXAMPLE_HEADING} {len(pack.exemplars) + 1}")
    return "\n\n".join(parts) + "\n\n"


def self_align_prompt(prefix: str, query: str, *, assistant_name: str) -> str:
    """The prefix with a query, open at the internal thought."""
    return f"{prefix}{user_heading()}\n{query}\n\n{thoughts_heading(assistant_name)}\n"


def direct_prompt(prefix: str, query: str, *, assistant_name: str) -> str:
    """The prefix with a query, open at the answer: how the prompted base is scored on given candidates."""
    return f"{prefix}{user_heading()}\n{query}\n\n{assistant_heading(assistant_name)}\n"


def stop_strings() -> tuple[str, ...]:
    """Where an answer under the self-align prompt ends (real strings: tokenizers merge newlines with text)."""
    return (f"\n{user_heading()}", f"\n{EXAMPLE_HEADING}")


def task_list(frame: str, tasks: Sequence[SeedTask]) -> str:
    """Numbered demonstration tasks, open at the next instruction."""
    lines = [frame.strip(), ""]
    for number, task in enumerate(tasks, start=1):
        lines += [f"Task {number}: {task.instruction}", f"Input {number}: {task.input or NO_INPUT}", ""]
    return "\n".join(lines) + f"Task {len(tasks) + 1}:"


def topic_list(frame: str, *, question_type: str, topics: Sequence[str]) -> str:
    """Known topics of a question type as a numbered list, open at the next number."""
    lines = [frame.strip(), "", f"Question type: {question_type}", "Topics:"]
    lines += [f"{number}. {topic}" for number, topic in enumerate(topics, start=1)]
    return "\n".join(lines) + f"\n{len(topics) + 1}."


def question_list(frame: str, *, solved: Sequence[tuple[str, str, str]], question_type: str, topic: str) -> str:
    """Solved lines of (type, topic, question), open at the question of the wanted type and topic."""
    lines = [frame.strip(), ""]
    lines += [f"{number}. [{kind}; {about}] {question}" for number, (kind, about, question) in enumerate(solved, 1)]
    return "\n".join(lines) + f"\n{len(solved) + 1}. [{question_type}; {topic}]"


def choice_query(frame: str, *, question: str, first: str, second: str) -> str:
    """A user turn that shows two answers as A and B and asks for the better one (BIG-bench hhh_alignment style)."""
    return f"{frame.strip()}\n\nQuestion: {question}\n\nAnswer A: {first}\n\nAnswer B: {second}"


CHOICE_PREFIX = "The better answer is"
"""Forced start of the assistant's reply to a choice query; scored continuations are ' A' and ' B'."""
