"""What the model card says about vLLM's reasoning parsers, on tags that are plain text for the tokenizer."""

from typing import Any

import pytest

from selfalign_stages import builtin, chat
from selfalign_stages.tuning import models

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TOKENIZER = models.load_tokenizer(builtin.folder("models", "hamlet"))
THOUGHT, ANSWER = "This asks whether a < b. I should follow rules 2 (informative).", "It is.\n\nAlways."


def parser(name: str) -> Any:
    from vllm.reasoning import ReasoningParserManager

    return ReasoningParserManager.get_reasoning_parser(name)(TOKENIZER)


def request() -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    return ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "Is a < b?"}])


def streamed(text: str) -> tuple[str, str]:
    """Thought and answer of a completion that arrives token by token."""
    reading, before, ids = parser("qwen3"), "", list[int]()
    thought = answer = ""
    for token in TOKENIZER(text)["input_ids"]:
        after = TOKENIZER.decode([*ids, token])
        delta = reading.extract_reasoning_streaming(before, after, after[len(before) :], ids, [*ids, token], [token])
        thought += (delta and delta.reasoning) or ""
        answer += (delta and delta.content) or ""
        before, ids = after, [*ids, token]
    return thought, answer


@pytest.mark.parametrize("thought", [THOUGHT, ""])
def test_the_parser_that_the_card_names_returns_the_thought_apart_whole_and_streamed(thought: str) -> None:
    assert not set(chat.THOUGHT_TAGS) & TOKENIZER.get_vocab().keys()
    text = chat.with_thought(ANSWER, thought=thought)
    for parts in (parser("qwen3").extract_reasoning(text, request()), streamed(text)):
        assert [(part or "").strip() for part in parts] == [thought, ANSWER]


def test_a_thought_without_an_end_leaves_no_answer() -> None:
    assert parser("qwen3").extract_reasoning(f"<think>\n{THOUGHT}", request())[1] is None


def test_the_parser_does_not_see_the_end_of_a_thought_in_token_ids_as_schemas_would_need() -> None:
    reading, ids = parser("qwen3"), TOKENIZER(chat.with_thought(ANSWER, thought=THOUGHT))["input_ids"]
    assert not reading.is_reasoning_end(ids)
    assert not any(reading.is_reasoning_end_streaming(ids[:n], ids[n - 1 : n]) for n in range(1, len(ids) + 1))


def test_a_parser_that_looks_tags_up_in_the_vocabulary_refuses_to_start() -> None:
    with pytest.raises(RuntimeError, match="could not locate think start/end tokens"):
        parser("deepseek_r1")
