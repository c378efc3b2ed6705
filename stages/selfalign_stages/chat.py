"""The one text of a conversation: trained on, evaluated with, and served by the saved chat template.

    [system text, blank line]
    ### User
    question

    ### Name
    answer<end token>

The end token is the base tokenizer's own EOS, which a base model has seen end documents: a new token could not be
learned by LoRA on attention alone.
"""

from collections.abc import Sequence
from typing import Literal, TypedDict


class Message(TypedDict):
    """One message in the form that chat APIs use."""

    role: Literal["system", "user", "assistant"]
    content: str


def user_heading() -> str:
    """The line above a user turn."""
    return "### User"


def assistant_heading(assistant_name: str) -> str:
    """The line above an answer."""
    return f"### {assistant_name}"


def template(assistant_name: str) -> str:
    """The Jinja chat template that is saved with every tuned model; `eos_token` comes from the tokenizer."""
    name = assistant_name.replace("\\", "\\\\").replace("'", "\\'")
    return (
        "{%- for message in messages -%}"
        "{%- if not loop.first and message['role'] != 'assistant' -%}{{ '\\n\\n' }}{%- endif -%}"
        "{%- if message['role'] == 'system' -%}{{ message['content'] | trim }}"
        "{%- elif message['role'] == 'user' -%}{{ '### User\\n' + message['content'] | trim }}"
        "{%- else -%}{{ '\\n\\n### " + name + "\\n' + message['content'] | trim + eos_token }}"
        "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '\\n\\n### " + name + "\\n' }}{%- endif -%}"
    )


def render(messages: Sequence[Message], *, assistant_name: str, eos_token: str, open_answer: bool) -> str:
    """The same text as `template` gives; a test compares them. `open_answer` ends at the answer's first character."""
    text = ""
    for message in messages:
        content = message["content"].strip()
        if message["role"] == "assistant":
            text += f"\n\n{assistant_heading(assistant_name)}\n{content}{eos_token}"
            continue
        text += "\n\n" if text else ""
        text += content if message["role"] == "system" else f"{user_heading()}\n{content}"
    return f"{text}\n\n{assistant_heading(assistant_name)}\n" if open_answer else text


def question(text: str, *, assistant_name: str, system: str | None = None) -> str:
    """The generation prompt of a one-turn conversation."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    return render(messages, assistant_name=assistant_name, eos_token="", open_answer=True)
