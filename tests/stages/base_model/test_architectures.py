"""architectures.txt lists what vLLM and Transformers, as installed, both support."""

from importlib.util import find_spec

import pytest

from selfalign_stages.base_model import architectures


def test_the_list_agrees_with_the_installed_libraries() -> None:
    if not all(find_spec(library) for library in ("vllm", "transformers")):
        pytest.skip("needs vLLM and Transformers")
    rewrite = "python -m selfalign_stages.base_model.architectures rewrites it"
    assert architectures.LIST_FILE.read_text() == architectures.generate_list(), rewrite


@pytest.mark.parametrize(
    ("architecture", "model_type"),
    [("LlamaForCausalLM", "llama"), ("MistralForCausalLM", "mistral"), ("Qwen3ForCausalLM", "qwen3")],
)
def test_common_base_models_are_supported(architecture: str, model_type: str) -> None:
    assert architectures.problem(architecture, model_type) is None


def test_encoders_and_speech_models_are_refused() -> None:
    for architecture in ("BertForMaskedLM", "T5ForConditionalGeneration", "WhisperForConditionalGeneration"):
        assert "is not among" in str(architectures.problem(architecture, "any"))
