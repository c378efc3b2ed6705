"""Top-p without a sort of the vocabulary keeps the words that vLLM's own sampler keeps, with top-k and min-p too."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessors, build_logitsprocs
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

from selfalign_stages.engine.nucleus import Nucleus, keep_nucleus, sampling_arguments

CPU = torch.device("cpu")


def processors(*classes: type[Nucleus], batch: int) -> LogitsProcessors:
    """The processors that vLLM builds for a batch, its own for min-p included."""
    config = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=batch), speculative_config=None)
    return build_logitsprocs(config, CPU, False, False, classes)


def enter(made: LogitsProcessors, parameters: list[SamplingParams]) -> None:
    """Lets requests into an empty batch."""
    added: list[Any] = [(row, one, None, []) for row, one in enumerate(parameters)]
    for processor in made.all:
        processor.update_state(BatchUpdate(batch_size=len(parameters), removed=[], added=added, moved=[]))


def drawn_from(made: LogitsProcessors, parameters: list[SamplingParams], logits: torch.Tensor) -> torch.Tensor:
    """What vLLM's sampler leaves of logits that are divided by the temperature: processors, top-k, top-p."""
    enter(made, parameters)
    for processor in made.argmax_invariant:
        logits = processor.apply(logits)
    k = torch.tensor([one.top_k or logits.shape[1] for one in parameters])
    p = torch.tensor([one.top_p for one in parameters])
    left: torch.Tensor = apply_top_k_top_p_pytorch(logits, k, p)
    return left


@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 0.98, 0.9999])
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0, 30.0])
def test_the_words_that_are_kept_are_those_of_vllm(top_p: float, spread: float) -> None:
    logits = torch.randn(8, 5000, generator=torch.Generator().manual_seed(7)) * spread
    logits += torch.arange(5000) * 1e-6  # no ties: which of equal words stays is nobody's promise
    expected = apply_top_k_top_p_pytorch(logits.clone(), None, torch.full((8,), top_p))
    kept = logits.clone()
    for row in kept:
        keep_nucleus(row, top_p)
    # Sums of thousands of float32 differ in the last digits with their order: a word at the border may differ.
    differing = kept.isinf() != expected.isinf()
    assert int(differing.sum(1).max()) <= 3
    assert torch.equal(kept[~kept.isinf()], logits[~kept.isinf()])


def test_the_most_probable_word_stays_whatever_the_mass() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0])
    keep_nucleus(logits, 1e-6)
    assert logits.tolist() == [float("-inf"), 3.0, float("-inf")]


def test_a_flat_distribution_keeps_its_share_of_the_words() -> None:
    logits = torch.zeros(200_000)
    keep_nucleus(logits, 0.25)
    assert int((~logits.isinf()).sum()) == pytest.approx(50_000, rel=1e-3)


def test_a_word_ruled_out_before_stays_out() -> None:
    logits = torch.tensor([2.0, float("-inf"), 1.0, 0.0])
    keep_nucleus(logits, 0.999999)
    assert logits.tolist() == [2.0, float("-inf"), 1.0, 0.0]


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 0.9), (0.7, 1.0)])
def test_nothing_is_asked_for_where_top_p_changes_nothing(temperature: float, top_p: float) -> None:
    assert sampling_arguments(temperature=temperature, top_p=top_p)["extra_args"] is None


@pytest.mark.parametrize("top_p", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 7, 40, 9000])
@pytest.mark.parametrize("min_p", [0.0, 0.02, 0.5])
def test_with_top_k_and_min_p_the_words_are_those_of_vllm(top_p: float, top_k: int, min_p: float) -> None:
    logits = torch.randn(4, 500, generator=torch.Generator().manual_seed(3)) * 2
    own = SamplingParams(temperature=1.0, top_p=top_p, top_k=min(top_k, 500), min_p=min_p)
    ours = SamplingParams(min_p=min_p, **sampling_arguments(temperature=1.0, top_p=top_p, top_k=min(top_k, 500)))
    expected = drawn_from(processors(batch=4), [own] * 4, logits.clone())
    kept = drawn_from(processors(Nucleus, batch=4), [ours] * 4, logits.clone())
    assert torch.equal(kept, expected)


def test_the_mass_of_the_nucleus_is_one_of_the_top_k_words() -> None:
    logits = torch.log(torch.tensor([[0.3, 0.2, 0.2, 0.15, 0.15]]))
    asked = SamplingParams(**sampling_arguments(temperature=1.0, top_p=0.55, top_k=2))
    kept = drawn_from(processors(Nucleus, batch=1), [asked], logits)
    assert (~kept.isinf()).tolist() == [[True, False, False, False, False]], "0.3 of 0.5 is more than 0.55"


def test_every_request_of_a_batch_has_its_own_filters() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]])).repeat(4, 1)
    asked = [
        SamplingParams(min_p=min_p, **sampling_arguments(temperature=1.0, top_p=top_p, top_k=top_k))
        for top_p, top_k, min_p in [(1.0, 0, 0.0), (0.5, 0, 0.0), (0.9, 2, 0.0), (0.9, 0, 0.6)]
    ]
    kept = drawn_from(processors(Nucleus, batch=4), asked, logits)
    assert (~kept.isinf()).sum(1).tolist() == [4, 2, 2, 2]


def test_fewer_words_than_top_k_are_left_as_they_are() -> None:
    logits = torch.tensor([[2.0, float("-inf"), 1.0, float("-inf")]])
    asked = SamplingParams(**sampling_arguments(temperature=1.0, top_p=0.999999, top_k=3))
    kept = drawn_from(processors(Nucleus, batch=1), [asked], logits)
    assert kept.tolist() == [[2.0, float("-inf"), 1.0, float("-inf")]]


def test_of_equally_probable_words_the_first_stays_as_in_greedy_decoding() -> None:
    logits = torch.full((1000,), -5.0)
    logits[[700, 300, 900]] = 2.0
    keep_nucleus(logits, 1e-6)
    assert torch.nonzero(logits > float("-inf")).flatten().tolist() == [300]
