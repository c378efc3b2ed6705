"""Names the model architectures that both vLLM can serve and Transformers can train.

Preflight refuses other architectures before a GPU is requested. It runs on CPU nodes in an image without vLLM and
Transformers, and importing them would take seconds, so the intersection of their tables is a file of this package:

    python -m selfalign_stages.base_model.architectures     # rewrites architectures.txt from the installed libraries

A test compares the file with the installed libraries, so that an upgrade of either cannot leave it stale.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LIST_FILE = Path(__file__).with_name("architectures.txt")
"""One architecture a line, followed by its model types."""
# (package, source file in it, name of the table): private names of both libraries, which the test watches.
VLLM_TABLE = ("vllm", "model_executor/models/registry.py", "_TEXT_GENERATION_MODELS")
VLLM_BY_TRANSFORMERS = ("vllm", "model_executor/models/registry.py", "_TRANSFORMERS_SUPPORTED_MODELS")
"""What vLLM serves by Transformers' code. Not all of it computes what Transformers computes."""
SAME_BY_TRANSFORMERS = frozenset({"Olmo2ForCausalLM"})
"""Those of the table above whose log-probabilities `make matrix` found equal; GPT-NeoX differs."""
TRANSFORMERS_TABLE = ("transformers", "models/auto/modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")


@cache
def model_types() -> Mapping[str, frozenset[str]]:
    """Returns the supported architectures, each with its values of `model_type` in config.json."""
    pairs = [line.split() for line in LIST_FILE.read_text().splitlines()]
    return {name: frozenset(types) for name, *types in pairs}


def problem(architecture: str, model_type: str) -> str | None:
    """Describes why a model cannot be used, or returns None if its architecture is supported.

    Args:
        architecture: first entry of `architectures` in config.json, such as "LlamaForCausalLM".
        model_type: `model_type` of config.json. vLLM selects the model by architecture, Transformers by model type,
            so a config.json in which they disagree would train one model and serve another.
    """
    types = model_types().get(architecture)
    if types is None:
        return (
            f"architecture {architecture} is not among the {len(model_types())} text models that both vLLM and "
            "Transformers support; use a supported one, such as LlamaForCausalLM or Qwen3ForCausalLM"
        )
    if model_type not in types:
        return f"model_type {model_type!r} does not belong to architecture {architecture}, which has {sorted(types)}"
    return None


def generate_list() -> str:
    """Returns the content of LIST_FILE for the installed libraries.

    The libraries' source is parsed instead of imported: importing vLLM takes seconds and needs its GPU or CPU kernels.

    Raises:
        ModuleNotFoundError: vLLM or Transformers is not installed.
        LookupError: a table has another name or form in the installed version; adapt the constants above.
    """
    served = {str(ast.literal_eval(key)) for key in _table(*VLLM_TABLE)}
    served |= SAME_BY_TRANSFORMERS & {str(ast.literal_eval(key)) for key in _table(*VLLM_BY_TRANSFORMERS)}
    types: dict[str, set[str]] = {}
    for model_type, names in _trainable():
        for name in names:
            if name in served:
                types.setdefault(name, set()).add(model_type)
    return "".join(f"{name} {' '.join(sorted(types[name]))}\n" for name in sorted(types))


def _trainable() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields Transformers' model types with their architectures; some types have several."""
    for pair in _table(*TRANSFORMERS_TABLE):
        model_type, names = ast.literal_eval(pair)
        yield model_type, (names,) if isinstance(names, str) else tuple(names)


def _table(package: str, file: str, table: str) -> list[ast.expr]:
    """Returns the keys of the dictionary, or the pairs of the OrderedDict, that `file` assigns to `table`."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    for node in ast.parse((Path(spec.origin).parent / file).read_text()).body:
        names = [target.id for target in _targets(node) if isinstance(target, ast.Name)]
        if table in names and isinstance(node, ast.Assign | ast.AnnAssign):
            return _elements(node.value)
    raise LookupError(f"{package} assigns no {table} in {file}")


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _elements(value: ast.expr | None) -> list[ast.expr]:
    if isinstance(value, ast.Dict):
        return [key for key in value.keys if key is not None]
    if isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.List):
        return value.args[0].elts
    raise LookupError("the table is neither a dictionary nor an OrderedDict of pairs")


if __name__ == "__main__":
    LIST_FILE.write_text(generate_list())
    sys.exit(0)
