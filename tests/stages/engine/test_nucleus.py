"""Top-p without a sort of the vocabulary keeps the words that vLLM's own sampler keeps."""

import pytest
import torch
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

from selfalign_stages.engine.nucleus import keep_nucleus, sampling_arguments


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
