"""The errors of a model that vLLM does not load, with the field to change. Pure.

vLLM raises ValueError for a model that it does not know as for a device that is too small, and names its own command
line in the message.
"""

from selfalign_stages.contract.exits import BadInput, DoesNotFit, StageError
from selfalign_stages.contract.parameters import EngineParameters
from selfalign_stages.engine import cpu_limits


def refuse_on_cpu(settings: EngineParameters, *, flags: frozenset[str]) -> None:
    """Refuses what the CPU build cannot do on these cores, before the model is loaded.

    Args:
        settings: those of the run.
        flags: instructions of the cores.

    Raises:
        BadInput: with the field, its value and the remedy.
    """
    if problem := cpu_limits.quantization_problem(settings.quantization, flags=flags):
        raise BadInput(
            f"{cpu_limits.QUANTIZATION} = {settings.quantization}: {problem}", reason="QuantizationNotSupported"
        )


def stage_error(error: Exception, *, model: str, settings: EngineParameters) -> StageError | None:
    """Turns an exception of `vllm.LLM` into an error of the run; None if it is a crash.

    Args:
        error: a ValueError, NotImplementedError or RuntimeError.
        model: name of the model's folder, for the message.
        settings: those of the run, of which one may be the cause.
    """
    # vLLM and torch have no common out-of-memory error class; their messages name "memory".
    if "memory" in str(error).lower():
        return DoesNotFit(
            f"vLLM: {error}; lower spec.engine.contextLength or maxSequences, use a smaller model or a larger device"
        )
    if isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
        return None
    if "not initialized from" in str(error):
        return BadInput(
            f"spec.baseModel: {model} lacks weights: {error}; use a complete copy of the model",
            reason="IncompleteWeights",
        )
    if settings.quantization:
        return BadInput(
            f"{cpu_limits.QUANTIZATION} = {settings.quantization}: vLLM cannot load {model} with it: {error}; remove "
            "it, or choose another format",
            reason="EngineRefusesModel",
        )
    return BadInput(
        f"spec.baseModel: vLLM cannot load {model}: {error}; use an architecture that vLLM supports",
        reason="EngineRefusesModel",
    )
