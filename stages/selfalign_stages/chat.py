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
"""

from collections.abc import Sequence
from typing import Literal, TypedDict


class Message(TypedDict):
    """One message in the form of OpenAI's chat API and Transformers' `apply_chat_template`."""

    role: Literal["system", "user", "assistant"]
    content: str


def user_heading() -> str:
    """The line above a user message, and the start of a stop string."""
    return "### User"


def assistant_heading(assistant_name: str) -> str:
    """The line above an answer."""
    return f"### {assistant_name}"


def template(assistant_name: str, *, bos: bool) -> str:
    """Writes the Jinja chat template that is saved with every tuned model.

    `developer` is OpenAI's newer name of the system role. A list as content is joined from its text parts, in the form
    of OpenAI's chat API. What was never trained is an error, not a guess: other roles, other parts, and system texts
    after the first message.

    Args:
        assistant_name: any text; it is escaped for Jinja. `bos_token` and `eos_token` are variables that tokenizers
            provide.
        bos: whether the tokenizer adds its BOS token to plain text, as in training. Servers tokenise a rendered
            template without special tokens, so that the template has to contain it.
    """
    # In a Jinja string literal, backslash and quote need a backslash. The dashes in {%- -%} remove blanks around a tag,
    # so that the only newlines in the output are the quoted ones.
    name = assistant_name.replace("\\", "\\\\").replace("'", "\\'")
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
        "{%- elif message['role'] == 'assistant' -%}{{ '\\n\\n### "
        + name
        + "\\n' + text(message['content']) + eos_token }}"
        "{%- else -%}{{ raise_exception('role ' + message['role'] + ': use system, developer, user or assistant') }}"
        "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '\\n\\n### " + name + "\\n' }}{%- endif -%}"
    )


def render(messages: Sequence[Message], *, assistant_name: str, eos_token: str, open_answer: bool) -> str:
    """Renders a conversation; equal to what `template` renders.

    Args:
        messages: system message (optional, first), then user and assistant messages in turn. Blanks around contents
            are stripped.
        assistant_name: name in the headings of answers.
        eos_token: text of the tokenizer's EOS token, added to every answer.
        open_answer: ends with the heading of an answer and its newline, for generation. The newline belongs to the
            prompt, so that the first generated token is the answer's.
    """
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
    """Renders the generation prompt of a single question.

    Args:
        text: the user's message.
        assistant_name: name in the heading of the answer.
        system: text of a system message; None or "" for none.
    """
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    return render(messages, assistant_name=assistant_name, eos_token="", open_answer=True)
