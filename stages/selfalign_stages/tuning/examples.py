"""Training examples: the served text of a conversation, tokenised once, with loss on the answer and its EOS only.

Where thoughts are trained on, they are part of what the model has to write, and in the loss with their tags.

Three rules keep training and serving the same:
- The text comes from `chat`, which also writes the saved chat template: one blank or newline of difference between
  the trained and the served prompt lowers quality, and no metric names it as the cause.
- Prompt and answer are tokenised as one text. BPE merges characters across the border, so that ids of separately
  tokenised parts differ from those that the served model gets. Labels start at the answer by character offsets.
- EOS is part of the loss. A model that has not learned it ends no answer, and clients would need stop strings.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from selfalign_stages import chat
from selfalign_stages.contract.rows import Answer
from selfalign_stages.pack.model import Pack

IGNORED = -100
"""Label of a position without loss: `ignore_index` of PyTorch's cross entropy."""


@dataclass(frozen=True)
class Pair:
    """One turn of a user, and the answer to learn; the thought before it is learned only where a training asks so."""

    id: str
    question: str
    answer: str
    thought: str = ""


@dataclass(frozen=True)
class Example:
    """One tokenised text.

    Attributes:
        input_ids: token ids of prompt, answer and EOS; length T.
        labels: IGNORED over the prompt, the token ids themselves over answer and EOS; length T. The model shifts
            them by one: the logits at t are compared with the label at t + 1.
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


Encode = Callable[[str], tuple[list[int], list[tuple[int, int]]]]
"""Token ids of a text, and for each token its (begin, end) character offsets in the text."""


def answer_pairs(answers: Sequence[Answer]) -> list[Pair]:
    """Returns prompt, thought and answer of kept rows; principles and exemplars are left out here."""
    return [Pair(row.id, row.prompt.text, row.answer, row.thought) for row in answers]


def identity_pairs(pack: Pack, *, assistant_name: str, repeats: int) -> list[Pair]:
    """Returns the identity rows of the pack.

    The answers hold nothing about who the assistant is, and a base model invents a maker. Identity rows are rendered
    with the run's own assistant name, not replaced in a text about another one.

    Args:
        pack: provides the identity questions and answers.
        assistant_name: name of the run's assistant.
        repeats: how often each row is shown; 0 for never.
    """
    pairs = []
    for repeat in range(repeats):
        for group, identity in enumerate(pack.identity):
            answer = pack.fill(identity.answer, assistant_name=assistant_name)
            pairs += [
                Pair(f"identity-{group}-{n}-{repeat}", pack.fill(question, assistant_name=assistant_name), answer)
                for n, question in enumerate(identity.questions)
            ]
    return pairs


def training_text(pair: Pair, *, assistant_name: str, eos_token: str, thoughts: bool = False) -> tuple[str, int]:
    """Renders a pair as it is served.

    Args:
        pair: question, thought and answer.
        assistant_name: heading of the assistant's turn.
        eos_token: the tokenizer's EOS as text.
        thoughts: whether the model learns to write the thought before the answer. A pair without one then has an empty
            thought: the model would otherwise learn two forms, and clients could not tell a missing thought from an
            answer that begins at once.

    Returns:
        The text, and the character offset where that begins which the model has to write.
    """
    prompt = chat.question(pair.question, assistant_name=assistant_name)
    answer = chat.with_thought(pair.answer, thought=pair.thought) if thoughts else pair.answer.strip()
    return prompt + answer + eos_token, len(prompt)


def separated(pair: Pair) -> Pair | None:
    """Moves a thought that stands in tags within the answer, as in a file of one's own, to its place.

    Returns:
        The pair, without tags in thought and answer; None if tags stand anywhere else, so that a model which learned
        the row would write what clients cannot divide.
    """
    parts = chat.split_thought(pair.answer)
    if parts is None or chat.has_tag(pair.thought):
        return None
    own, answer = parts
    return replace(pair, answer=answer, thought=pair.thought or own)


def encode(
    pairs: Sequence[Pair],
    encode_text: Encode,
    *,
    assistant_name: str,
    eos_token: str,
    max_length: int,
    thoughts: bool = False,
) -> tuple[list[Example], dict[str, int]]:
    """Tokenises pairs.

    Args:
        pairs: what to train on.
        encode_text: the tokenizer.
        assistant_name: heading of the assistant's turn.
        eos_token: the tokenizer's EOS as text.
        max_length: most tokens of prompt, thought, answer and EOS together.
        thoughts: see `training_text`.

    Returns:
        The examples in order, and the number of pairs left out by reason: "too-long" (truncating would remove EOS or
        leave no label, and a row without labels has an undefined mean loss), "seam" (a token spans the border of
        prompt and answer, so that no label boundary is right) or "think-tag" (see `separated`).
    """
    examples, dropped = [], Counter[str]()
    for pair in pairs:
        divided = separated(pair) if thoughts else pair
        if divided is None:
            dropped["think-tag"] += 1
            continue
        text, start = training_text(divided, assistant_name=assistant_name, eos_token=eos_token, thoughts=thoughts)
        ids, offsets = encode_text(text)
        if len(ids) > max_length:
            dropped["too-long"] += 1
            continue
        # The first token that reaches into the answer must also begin there.
        first = next((i for i, (_, end) in enumerate(offsets) if end > start), len(ids))
        if first == len(ids) or offsets[first][0] != start:
            dropped["seam"] += 1
            continue
        examples.append(Example(tuple(ids), (IGNORED,) * first + tuple(ids[first:])))
    return examples, dict(dropped)


def shuffled(examples: Sequence[Example], *, seed: int) -> list[Example]:
    """Returns the examples in the order of training's first look at them, which depends on the seed alone."""
    order = list(examples)
    Random(seed).shuffle(order)
    return order
