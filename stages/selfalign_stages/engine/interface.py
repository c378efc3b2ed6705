"""The interface between steps and the language model: two methods, plain text in, plain text out.

Steps need a stream of completions and log-probabilities of fixed continuations, nothing else. Keeping token ids,
chat templates and device settings behind it lets the steps run in tests on a scripted engine, and keeps vLLM the
only module to change on an upgrade. Prompts are plain text because the base model has no chat template: they go to
raw completion, as in the paper.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from selfalign_stages.contract.parameters import Sampling

FinishReason = Literal["stop", "length", "abort"]


@dataclass(frozen=True)
class Request:
    """One prompt to complete.

    Attributes:
        prompt: plain text; the engine tokenises it, with the tokenizer's own BOS token if it has one.
        seed: seed of this completion's sampling, see `seed_for`.
    """

    prompt: str
    seed: int


@dataclass(frozen=True)
class Decoding:
    """How completions are decoded. Same meaning as vLLM's SamplingParams.

    Attributes:
        temperature: 0 is greedy decoding.
        top_p: nucleus sampling mass.
        max_tokens: limit of new tokens; a completion that reaches it has finish reason "length".
        top_k: number of the most probable tokens that count before top-p; 0 is all.
        min_p: least probability as a fraction of that of the most probable token; it applies before both. 0 is none.
        stop: strings that end a completion; the completion's text does not contain them.
        ignore_eos: continues past the end-of-sequence token. A base model may end a list after few items;
            without EOS every completion runs to `max_tokens`, and the last item must be treated as cut.
        grammar: EBNF grammar (in xgrammar's form of GBNF, rule `root` first) that the whole completion has to match;
            None leaves it free. Stop strings and EOS end a completion as usual.
    """

    temperature: float
    top_p: float
    max_tokens: int
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    grammar: str | None = None

    @classmethod
    def from_sampling(cls, sampling: Sampling, *, stop: tuple[str, ...] = (), ignore_eos: bool = False) -> Self:
        """Combines a step's sampling parameters with the stop conditions that its prompt format requires.

        Args:
            sampling: what the user may set.
            stop: what ends a completion in the step's prompt format.
            ignore_eos: see the attribute.
        """
        return cls(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            stop=stop,
            ignore_eos=ignore_eos,
        )


@dataclass(frozen=True)
class Completion:
    """The result of one request.

    Attributes:
        text: new text after the prompt, without stop string; it may begin with a space.
        finish_reason: "stop" at a stop string or EOS, "length" at `max_tokens`, "abort" when prompt and
            `max_tokens` together exceed the context length, so that nothing was generated.
        tokens: number of new tokens.
        ended_by_eos: True if the model emitted EOS, False if a stop string ended the completion. A tuned model
            must end with EOS by itself, because clients of the served model set no stop strings.
    """

    text: str
    finish_reason: FinishReason
    tokens: int
    ended_by_eos: bool = False


@dataclass(frozen=True)
class Scored:
    """Score of one continuation: the natural log-probability summed over its tokens, and the number of tokens."""

    logprob: float
    tokens: int


class Engine(Protocol):
    """A loaded model."""

    def stream(
        self, requests: Iterable[Request], decoding: Decoding, *, fresh: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        """Completes requests, with as many in flight as the device holds.

        Args:
            requests: drawn lazily, so that the prompts of a long stream are never in memory together.
            decoding: applies to every request of the stream.
            fresh: empties the prefix cache first. Cached prefixes change how a batch is composed, and with it the
                last bits of the logits; deterministic mode needs the same start for every chunk.

        Yields:
            (position in `requests`, completion), in the order in which completions end, each position once.
        """

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """Scores each (prompt, continuation) pair, in order.

        Prompt and continuation are tokenised as one text; a token that spans both counts to the continuation.

        Raises:
            DoesNotFit: a pair exceeds the context length.
        """


def seed_for(key: str, record_id: str, *, seed: int) -> int:
    """Derives the sampling seed of one record.

    Seeds depend on the record alone, not on worker, chunk or order of generation: any worker that regenerates a
    record samples the same way, and no two records share a seed because they run on different workers.

    Args:
        key: key of the step (64 hexadecimal digits).
        record_id: name of the record, unique within the step.
        seed: `spec.seed` of the run.

    Returns:
        A non-negative 31-bit integer, which every sampler accepts (the first 32 bits of SHA-256, less one bit).
    """
    digest = hashlib.sha256(f"{key}/{seed}/{record_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
