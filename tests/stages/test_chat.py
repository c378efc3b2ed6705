"""The trained, the evaluated and the served text are the same, down to the newline after a heading."""

from itertools import product

import jinja2
import pytest

from selfalign_stages import chat
from selfalign_stages.chat import Message

SYSTEM: Message = {"role": "system", "content": " Be brief. "}
USER: Message = {"role": "user", "content": "What is {{ 3 }}?\n"}
ANSWER: Message = {"role": "assistant", "content": " Ice. "}
CONVERSATIONS = [[USER], [SYSTEM, USER], [USER, ANSWER, USER], [SYSTEM, USER, ANSWER], [USER, ANSWER, USER, ANSWER]]


@pytest.mark.parametrize(
    ("messages", "open_answer", "name"), product(CONVERSATIONS, [True, False], ["Ida", "O'Neil \\ Co", "Zoë"])
)
def test_the_saved_template_renders_what_training_renders(
    messages: list[Message], open_answer: bool, name: str
) -> None:
    served = jinja2.Environment().from_string(chat.template(name, bos=False))
    assert served.render(messages=messages, eos_token="<e>", add_generation_prompt=open_answer) == chat.render(
        messages, assistant_name=name, eos_token="<e>", open_answer=open_answer
    )


def test_the_newline_after_the_heading_belongs_to_the_prompt() -> None:
    assert chat.question("Q?", assistant_name="Ida") == "### User\nQ?\n\n### Ida\n"


def test_a_system_text_comes_first() -> None:
    assert chat.question("Q?", assistant_name="Ida", system="S") == "S\n\n### User\nQ?\n\n### Ida\n"


def rendered(messages: list[dict[str, object]]) -> str:
    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.Environment()
    environment.globals["raise_exception"] = raise_exception
    served = environment.from_string(chat.template("Ida", bos=True))
    return served.render(messages=messages, bos_token="<b>", eos_token="<e>", add_generation_prompt=True)


def test_a_developer_text_is_a_system_text_and_parts_of_text_are_joined() -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "ice?"}]
    conversation: list[dict[str, object]] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": parts},
    ]
    assert rendered(conversation) == "<b>Be brief.\n\n### User\nWhat is ice?\n\n### Ida\n"


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ({"role": "tool", "content": "42"}, "role tool: use system, developer, user or assistant"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, "only parts of type text"),
        ({"role": "user", "content": None}, "has to be text"),
        ({"role": "user", "content": {"text": "x"}}, "has to be text"),
        ({"role": "system", "content": "late"}, "role system: only as the first message"),
    ],
)
def test_what_was_never_trained_is_an_error(message: dict[str, object], complaint: str) -> None:
    with pytest.raises(jinja2.TemplateError, match=complaint):
        rendered([{"role": "user", "content": "Q?"}, message])
