"""Training examples: the served text of a conversation, tokenised once, with loss on the answer and its end token only.

Prompt and answer are never tokenised apart: BPE could join characters across the seam, and the trained text would
differ from the served one (method traps 5 to 7).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from selfalign_stages import chat
from selfalign_stages.contract.rows import Answer
from selfalign_stages.pack.model import Pack

IGNORED = -100
"""Label of a token without loss, as PyTorch's cross entropy has it."""


@dataclass(frozen=True)
class Pair:
    """What a user says and the answer to learn."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True)
class Example:
    """Token ids and labels of one text, both of length T."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


Encode = Callable[[str], tuple[list[int], list[tuple[int, int]]]]
"""Token ids of a text and their character offsets."""


def pairs(answers: Sequence[Answer], pack: Pack, *, assistant_name: str, repeats: int) -> list[Pair]:
    """Kept answers and the pack's identity rows, the latter under the run's own assistant name."""
    found = [Pair(row.id, row.prompt.text, row.answer) for row in answers]
    for repeat in range(repeats):
        for group, identity in enumerate(pack.identity):
            answer = pack.fill(identity.answer, assistant_name=assistant_name)
            found += [
                Pair(f"identity-{group}-{n}-{repeat}", pack.fill(question, assistant_name=assistant_name), answer)
                for n, question in enumerate(identity.questions)
            ]
    return found


def text(pair: Pair, *, assistant_name: str, eos_token: str) -> tuple[str, int]:
    """The conversation as it is served, and where its answer begins."""
    prompt = chat.question(pair.question, assistant_name=assistant_name)
    return prompt + pair.answer.strip() + eos_token, len(prompt)


def encode(
    found: Sequence[Pair], encode_text: Encode, *, assistant_name: str, eos_token: str, max_length: int, seed: int
) -> tuple[list[Example], dict[str, int]]:
    """Examples in seeded order, and pairs left out: too-long, or seam (a token spans prompt and answer)."""
    examples, dropped = [], Counter[str]()
    for pair in found:
        whole, start = text(pair, assistant_name=assistant_name, eos_token=eos_token)
        ids, offsets = encode_text(whole)
        if len(ids) > max_length:
            dropped["too-long"] += 1
            continue
        first = next((i for i, (begin, end) in enumerate(offsets) if end > start), len(ids))
        if first == len(ids) or offsets[first][0] != start:
            dropped["seam"] += 1
            continue
        examples.append(Example(tuple(ids), (IGNORED,) * first + tuple(ids[first:])))
    Random(seed).shuffle(examples)
    return examples, dict(dropped)
