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
    served = jinja2.Environment().from_string(chat.template(name))
    assert served.render(messages=messages, eos_token="<e>", add_generation_prompt=open_answer) == chat.render(
        messages, assistant_name=name, eos_token="<e>", open_answer=open_answer
    )


def test_the_newline_after_the_heading_belongs_to_the_prompt() -> None:
    assert chat.question("Q?", assistant_name="Ida") == "### User\nQ?\n\n### Ida\n"


def test_a_system_text_comes_first() -> None:
    assert chat.question("Q?", assistant_name="Ida", system="S") == "S\n\n### User\nQ?\n\n### Ida\n"
