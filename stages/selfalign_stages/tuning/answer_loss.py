"""Loss at the answer's tokens alone, without logits for the rest.

Only answer and EOS carry labels, yet a model computes logits at every position: with a vocabulary of 262,144 words and
a batch of 8 rows of 256 tokens that is 2 GiB in float32, several times over for softmax and gradient, and most of the
time of a small model. Here the hidden states are selected first, and the output layer is applied to those alone.

The result equals the model's own loss up to the order of sums. Some architectures change the logits after the output
layer (Gemma 2 caps them, Granite and Cohere scale them), so `AnswerLoss.fits` compares both once, before training; a
model for which they differ is trained with its own loss.
"""

from typing import TYPE_CHECKING, Any

from selfalign_stages.tuning.examples import IGNORED

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""Largest relative difference between this loss and the model's own: rounding in bfloat16 stays below it."""


class AnswerLoss:
    """Computes the loss of a causal language model at labelled positions.

    Args:
        model: transformers' PreTrainedModel, or a peft model around one.
    """

    def __init__(self, model: Any) -> None:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        # Modules that peft has replaced are replaced in place, so the adapter is part of both.
        self._decoder, self._head = inner.get_decoder(), inner.get_output_embeddings()
        self._cap: float | None = getattr(inner.config.get_text_config(), "final_logit_softcapping", None)

    def __call__(self, inputs: "dict[str, torch.Tensor]", *, items: Any = None) -> "torch.Tensor":
        """Returns the cross entropy of the labelled tokens.

        Args:
            inputs: integer tensors `input_ids`, `attention_mask` and `labels` of shape (batch, T); IGNORED labels do
                not count. The model predicts the token at t + 1 from position t.
            items: number of labelled tokens of the whole optimizer step, by which the sum is divided, so that every
                token of the step has the same weight. None: the mean of this batch.

        Returns:
            A scalar in float32.
        """
        import torch

        hidden = self._decoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]
        following = inputs["labels"][:, 1:]  # (batch, T - 1)
        labelled = following != IGNORED
        # (batch, T - 1, width) -> (labelled tokens, width) -> (labelled tokens, vocabulary)
        logits = self._head(hidden[:, :-1][labelled]).float()
        if self._cap:
            logits = torch.tanh(logits / self._cap) * self._cap
        loss = torch.nn.functional.cross_entropy(logits, following[labelled], reduction="sum")
        return loss / (labelled.sum() if items is None else items)

    @classmethod
    def fits(cls, model: Any, inputs: "dict[str, torch.Tensor]") -> bool:
        """Whether this loss equals the model's own on a batch."""
        import torch

        training = model.training
        model.eval()  # dropout would differ between the two
        with torch.no_grad():
            try:
                own, ours = float(model(**inputs).loss), float(cls(model)(inputs))
            except (AttributeError, TypeError, NotImplementedError):  # no decoder or output layer of its own
                return False
            finally:
                model.train(training)
        return abs(own - ours) <= TOLERANCE * max(abs(own), 1e-6)
