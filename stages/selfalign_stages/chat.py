"""The text format of conversations: one for training, evaluation and the chat template of the served model.

    [system text, blank line]
    ### User
    question

    ### Name
    answer<EOS>

If the served text differed from the trained one by a single newline, the model would be prompted in a format that it
was not trained on; hence one module for all three, and a test that the template renders what `render` renders. An
answer ends with the base tokenizer's own EOS token, which base models know as the end of a document. A new end-of-turn
token would have an untrained embedding, which LoRA on attention layers does not train.

A model that is trained on thoughts begins every answer with one, in the form that open reasoning models use, and in
plain text for the same reason:

    <think>
    thought, or nothing
    </think>

    answer<EOS>
"""

from collections.abc import Sequence
from typing import Literal, TypedDict


class Message(TypedDict):
    """One message in the form of OpenAI's chat API and Transformers' `apply_chat_template`."""

    role: Literal["system", "user", "assistant"]
    content: str


THOUGHT_TAGS = THOUGHT_START, THOUGHT_END = "<think>", "</think>"
"""The lines around a thought before an answer."""


def user_heading() -> str:
    """The line above a user message, and the start of a stop string."""
    return "### User"


def assistant_heading(assistant_name: str) -> str:
    """The line above an answer."""
    return f"### {assistant_name}"


def with_thought(answer: str, *, thought: str) -> str:
    """Puts a thought before an answer, as a model that is trained on thoughts writes it.

    Args:
        answer: the answer; "" gives the start of one, as a prompt for it.
        thought: the thought without tags; "" for none, which keeps the form that clients read.
    """
    return f"{THOUGHT_START}\n{thought.strip()}\n{THOUGHT_END}\n\n{answer.strip()}"


def split_thought(text: str) -> tuple[str, str] | None:
    """Divides what a model wrote into thought and answer, both without blanks around them.

    Args:
        text: the whole completion. Without any tag it is all answer.

    Returns:
        Thought and answer, or None for a text that clients cannot divide: a thought that does not end or does not come
        first, or a tag in the answer.
    """
    thought, end, answer = text.strip().partition(THOUGHT_END)
    thought, answer = (thought.removeprefix(THOUGHT_START), answer) if end else ("", thought)
    return None if has_tag(thought) or has_tag(answer) else (thought.strip(), answer.strip())


def has_tag(text: str) -> bool:
    """Whether a text contains one of the tags around thoughts."""
    return any(tag in text for tag in THOUGHT_TAGS)


def template(assistant_name: str, *, bos: bool, thoughts: bool = False) -> str:
    """Writes the Jinja chat template that is saved with every tuned model.

    `developer` is OpenAI's newer name of the system role. A list as content is joined from its text parts, in the form
    of OpenAI's chat API. What was never trained is an error, not a guess: other roles, other parts, and system texts
    after the first message.

    Args:
        assistant_name: any text; it is escaped for Jinja. `bos_token` and `eos_token` are variables that tokenizers
            provide.
        bos: whether the tokenizer adds its BOS token to plain text, as in training. Servers tokenise a rendered
            template without special tokens, so that the template has to contain it.
        thoughts: whether the model was trained on thoughts. Those of earlier answers, up to and including the first
            `</think>`, are then left out; the last message, which clients may let the model continue, keeps its own.
    """
    # In a Jinja string literal, backslash and quote need a backslash. The dashes in {%- -%} remove blanks around a tag,
    # so that the only newlines in the output are the quoted ones.
    name = assistant_name.replace("\\", "\\\\").replace("'", "\\'")
    answer, without_thought = "text(message['content'])", ""
    if thoughts:
        # split without a limit, and join: other implementations of Jinja than Python's take one argument only.
        without_thought = (
            f"{{%- set answer = {answer} -%}}"
            f"{{%- if '{THOUGHT_END}' in answer and (add_generation_prompt or not loop.last) -%}}"
            f"{{%- set answer = answer.split('{THOUGHT_END}')[1:] | join('{THOUGHT_END}') | trim -%}}{{%- endif -%}}"
        )
        answer = "answer"
    return (
        ("{{- bos_token -}}" if bos else "") + "{%- macro text(content) -%}"
        "{%- if content is string -%}{{ content | trim }}"
        "{%- elif content is sequence and content is not mapping -%}"
        "{%- set parts = namespace(text='') -%}"
        "{%- for part in content -%}"
        "{%- if part is mapping and part['type'] == 'text' -%}{%- set parts.text = parts.text + part['text'] -%}"
        "{%- else -%}{{ raise_exception('content: only parts of type text are supported') }}{%- endif -%}"
        "{%- endfor -%}{{ parts.text | trim }}"
        "{%- else -%}{{ raise_exception('content: has to be text, or a list of parts of type text') }}{%- endif -%}"
        "{%- endmacro -%}"
        "{%- for message in messages -%}"
        "{%- if not loop.first and message['role'] != 'assistant' -%}{{ '\\n\\n' }}{%- endif -%}"
        "{%- if message['role'] in ['system', 'developer'] -%}"
        "{%- if not loop.first -%}{{ raise_exception('role ' + message['role'] + ': only as the first message') }}"
        "{%- endif -%}{{ text(message['content']) }}"
        "{%- elif message['role'] == 'user' -%}{{ '### User\\n' + text(message['content']) }}"
        "{%- elif message['role'] == 'assistant' -%}"
        + without_thought
        + "{{ '\\n\\n### "
        + name
        + "\\n' + "
        + answer
        + " + eos_token }}"
        "{%- else -%}{{ raise_exception('role ' + message['role'] + ': use system, developer, user or assistant') }}"
        "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '\\n\\n### " + name + "\\n' }}{%- endif -%}"
    )


def render(
    messages: Sequence[Message], *, assistant_name: str, eos_token: str, open_answer: bool, thoughts: bool = False
) -> str:
    """Renders a conversation; equal to what `template` renders.

    Args:
        messages: system message (optional, first), then user and assistant messages in turn. Blanks around contents
            are stripped.
        assistant_name: name in the headings of answers.
        eos_token: text of the tokenizer's EOS token, added to every answer.
        open_answer: ends with the heading of an answer and its newline, for generation. The newline belongs to the
            prompt, so that the first generated token is the answer's.
        thoughts: as in `template`.
    """
    text = ""
    for number, message in enumerate(messages, start=1):
        content = message["content"].strip()
        if message["role"] == "assistant":
            if thoughts and THOUGHT_END in content and (open_answer or number < len(messages)):
                content = content.partition(THOUGHT_END)[2].strip()
            text += f"\n\n{assistant_heading(assistant_name)}\n{content}{eos_token}"
            continue
        text += "\n\n" if text else ""
        text += content if message["role"] == "system" else f"{user_heading()}\n{content}"
    return f"{text}\n\n{assistant_heading(assistant_name)}\n" if open_answer else text


def question(text: str, *, assistant_name: str, system: str | None = None) -> str:
    """Renders the generation prompt of a single question.

    Args:
        text: the user's message.
        assistant_name: name in the heading of the answer.
        system: text of a system message; None or "" for none.
    """
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    return render(messages, assistant_name=assistant_name, eos_token="", open_answer=True)
