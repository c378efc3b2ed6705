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


THOUGHTFUL: Message = {"role": "assistant", "content": "<think>\nIt asks {{ 4 }}.\n</think>\n\nIce </think> it is."}
UNFINISHED: Message = {"role": "assistant", "content": "<think>\nIt asks"}


@pytest.mark.parametrize(
    ("messages", "open_answer"),
    product(
        [
            *CONVERSATIONS,
            *([USER, answer, *after] for answer in (THOUGHTFUL, UNFINISHED) for after in ([], [USER], [USER, ANSWER])),
            [THOUGHTFUL, THOUGHTFUL],
        ],
        [True, False],
    ),
)
def test_the_template_of_a_model_with_thoughts_renders_the_same_too(messages: list[Message], open_answer: bool) -> None:
    served = jinja2.Environment().from_string(chat.template("O'Neil", bos=False, thoughts=True))
    assert served.render(messages=messages, eos_token="<e>", add_generation_prompt=open_answer) == chat.render(
        messages, assistant_name="O'Neil", eos_token="<e>", open_answer=open_answer, thoughts=True
    )


def test_thoughts_of_earlier_answers_are_left_out_of_the_history_and_nothing_else() -> None:
    def shown(messages: list[Message], *, open_answer: bool, thoughts: bool = True) -> str:
        return chat.render(messages, assistant_name="Ida", eos_token="<e>", open_answer=open_answer, thoughts=thoughts)

    turn = "### User\nWhat is {{ 3 }}?\n\n### Ida\nIce </think> it is.<e>"
    following = f"{turn}\n\n### User\nWhat is {{{{ 3 }}}}?\n\n### Ida\n"
    assert shown([USER, THOUGHTFUL, USER], open_answer=True) == following
    assert shown([USER, THOUGHTFUL], open_answer=True) == f"{turn}\n\n### Ida\n"
    # The last message is the one to continue, or a row to train on.
    assert "It asks {{ 4 }}." in shown([USER, THOUGHTFUL], open_answer=False)
    assert "It asks {{ 4 }}." in shown([USER, THOUGHTFUL, USER], open_answer=True, thoughts=False)


def test_a_thought_in_parts_of_text_is_left_out_of_the_history_as_well() -> None:
    parts = [{"type": "text", "text": "<think>\nIt asks."}, {"type": "text", "text": "\n</think>\n\nIce."}]
    served = jinja2.Environment().from_string(chat.template("Ida", bos=False, thoughts=True))
    messages = [USER, {"role": "assistant", "content": parts}, USER]
    assert "### Ida\nIce.<e>\n" in served.render(messages=messages, eos_token="<e>", add_generation_prompt=True)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>\nIt asks.\n</think>\n\nIce.", ("It asks.", "Ice.")),
        (" <think>\n\n</think>\n\nIce.\n", ("", "Ice.")),
        ("<think>It asks.</think>Ice.", ("It asks.", "Ice.")),
        ("It asks.\n</think>\n\nIce.", ("It asks.", "Ice.")),
        ("Ice.", ("", "Ice.")),
        ("<think>\nIt asks.\n</think>", ("It asks.", "")),
        ("<think>\nIt asks.", None),
        ("<think>", None),
        ("Ice. <think>\nIt asks.\n</think>\n\nMore ice.", None),
        ("<think>\nIt asks.\n</think>\n\n<think>\nI should follow rules 1.", None),
        ("<think>\nIt asks.\n</think>\n\nIce.\n</think>\n\nMore.", None),
    ],
)
def test_a_completion_is_divided_into_thought_and_answer_or_refused(text: str, parts: tuple[str, str] | None) -> None:
    assert chat.split_thought(text) == parts


@pytest.mark.parametrize("thought", ["It asks.\n\nAnd more.", ""])
def test_what_was_put_together_is_divided_again(thought: str) -> None:
    assert chat.split_thought(chat.with_thought("Ice.\n\nYes.", thought=thought)) == (thought, "Ice.\n\nYes.")


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
