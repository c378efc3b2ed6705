"""How far the distribution of a model's next token is from another's: Kullback-Leibler divergence on training texts.

A rounded copy of a model differs from it, and the largest difference of any token says little about how much: on a real
base model of 270 million parameters single tokens move by 0.3 in log-probability by the cast to bfloat16 alone. The
mean divergence of the copy is small and steady, and a merge with a wrong layer or factor exceeds it many times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

KEPT_TOKENS = 64
"""Most likely tokens whose probability is kept at each position; the others count as one. Whole distributions over
262,144 tokens would take gigabytes. Merging outcomes can only make the divergence smaller, so a finding stays one."""


@dataclass(frozen=True)
class Reference:
    """The next-token distributions of a model on one text, at P positions (see `_positions`).

    Attributes:
        tokens: the most likely tokens, shape (P, KEPT_TOKENS).
        logprobs: their natural log-probabilities, of the same shape.
    """

    tokens: "torch.Tensor"
    logprobs: "torch.Tensor"


def references(model: Any, probes: Sequence[Sequence[int]]) -> list[Reference]:
    """Computes the distributions of a model.

    Args:
        model: a causal language model.
        probes: token ids of texts.
    """
    found = []
    for scores in _logprobs(model, probes):
        top = scores.topk(min(KEPT_TOKENS, scores.shape[-1]), dim=-1)
        found.append(Reference(top.indices, top.values))
    return found


def mean(first: Sequence[Reference], model: Any, probes: Sequence[Sequence[int]]) -> float:
    """Returns the mean divergence KL(first || model) per position, in nats; NaN if a logit is no number.

    A position counts once. All texts begin with the same heading, and a model that is uncertain there, as no training
    has taught it what to predict, would decide the mean.

    Args:
        first: the distributions of the other model, in the order of the probes.
        model: a causal language model.
        probes: token ids of the same texts.
    """
    import torch

    total, positions = 0.0, 0
    for reference, scores in zip(first, _logprobs(model, probes), strict=True):
        p = torch.cat([reference.logprobs.exp(), _rest(reference.logprobs)], dim=-1)
        kept = scores.gather(-1, reference.tokens)
        q = torch.cat([kept.exp(), _rest(kept)], dim=-1)
        total += float((p * (p.log() - q.log())).sum())
        positions += len(scores)
    return total / max(positions, 1)


def _logprobs(model: Any, probes: Sequence[Sequence[int]]) -> Any:
    """Yields the log-probabilities of each text, shape (P, vocabulary), in float64: differences are small."""
    import torch

    model.eval()  # dropout would differ between two calls
    with torch.no_grad():
        for ids, positions in zip(probes, _positions(probes), strict=True):
            logits = model(input_ids=torch.tensor([list(ids)])).logits[0, positions]
            yield torch.log_softmax(logits.double(), dim=-1)


def _positions(probes: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yields the positions of each text up to which no earlier text is equal, without the last, which predicts nothing.

    A model's distribution at the others is that of the earlier text.
    """
    known: set[tuple[int, ...]] = set()
    for ids in probes:
        prefixes = {position: tuple(ids[: position + 1]) for position in range(len(ids) - 1)}
        yield [position for position, prefix in prefixes.items() if prefix not in known]
        known.update(prefixes.values())


def _rest(logprobs: "torch.Tensor") -> "torch.Tensor":
    """The probability of all tokens that were not kept; never 0, which has no logarithm."""
    return (1 - logprobs.exp().sum(-1, keepdim=True)).clamp(min=1e-12)
