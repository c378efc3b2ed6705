"""Which architectures the installed engine generates text with, read from its registry's source, not imported."""

import ast
from importlib import util
from pathlib import Path


def known() -> frozenset[str]:
    """Names of vLLM's text generation architectures; empty where vLLM is not installed (the CPU image has none)."""
    spec = util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    registry = Path(spec.submodule_search_locations[0]) / "model_executor" / "models" / "registry.py"
    if not registry.is_file():
        return frozenset()
    for node in ast.parse(registry.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if getattr(target, "id", "") == "_TEXT_GENERATION_MODELS" and isinstance(
            getattr(node, "value", None), ast.Dict
        ):
            keys = node.value.keys  # type: ignore[attr-defined]
            return frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return frozenset()
