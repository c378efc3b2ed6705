"""What vLLM says when it does not load a model is reported at the field that can change."""

import pytest

from selfalign_stages.contract.exits import BadInput, DoesNotFit, StageError
from selfalign_stages.contract.parameters import EngineParameters
from selfalign_stages.engine.loading_errors import stage_error

PLAIN, ROUNDED = EngineParameters(), EngineParameters(quantization="fp8_per_channel")
NO_CACHE = ValueError("To serve at least one request 16 GiB KV cache is needed, larger than the available memory")


@pytest.mark.parametrize(
    ("error", "settings", "kind", "begin"),
    [
        (ValueError("architecture X"), PLAIN, BadInput, "spec.baseModel: vLLM cannot load m: architecture X"),
        (NotImplementedError("X"), PLAIN, BadInput, "spec.baseModel: vLLM cannot load m: X"),
        (ValueError("requires SM89"), ROUNDED, BadInput, "spec.engine.quantization = fp8_per_channel: vLLM cannot"),
        (
            ValueError("Following weights were not initialized from checkpoint: {'a'}"),
            ROUNDED,
            BadInput,
            "spec.baseModel: m lacks weights",
        ),
        (RuntimeError("CUDA out of memory"), ROUNDED, DoesNotFit, "vLLM: CUDA out of memory; lower spec.engine.con"),
        (NO_CACHE, PLAIN, DoesNotFit, "vLLM: To serve at least one request"),
    ],
)
def test_a_model_that_vllm_does_not_load_is_reported_at_the_field_that_can_change(
    error: Exception, settings: EngineParameters, kind: type[StageError], begin: str
) -> None:
    reported = stage_error(error, model="m", settings=settings)
    assert isinstance(reported, kind) and str(reported).startswith(begin)


def test_a_crash_stays_a_crash_that_is_tried_again() -> None:
    assert stage_error(RuntimeError("NCCL error"), model="m", settings=PLAIN) is None
