"""The list of architectures is what engine and trainer, as installed, both know."""

from importlib.util import find_spec

import pytest

from selfalign_stages.base_model import architectures


def test_the_list_agrees_with_the_installed_libraries() -> None:
    if not all(find_spec(library) for library in ("vllm", "transformers")):
        pytest.skip("the list is compared where engine and trainer are installed")
    rewrite = "python -m selfalign_stages.base.architectures rewrites it"
    assert architectures.LIST.read_text() == architectures.installed(), rewrite


@pytest.mark.parametrize(
    ("architecture", "model_type"),
    [("LlamaForCausalLM", "llama"), ("MistralForCausalLM", "mistral"), ("Qwen3ForCausalLM", "qwen3")],
)
def test_common_base_models_are_known(architecture: str, model_type: str) -> None:
    assert architectures.refusal(architecture, model_type) is None


def test_encoders_and_speech_models_are_refused() -> None:
    for architecture in ("BertForMaskedLM", "T5ForConditionalGeneration", "WhisperForConditionalGeneration"):
        assert "is not among" in str(architectures.refusal(architecture, "any"))
