"""Which architectures both the engine can serve and the trainer can tune, kept as a list: CPU pods have neither.

`python -m selfalign_stages.base.architectures` rewrites the list from the installed libraries, without importing them;
a test compares the two.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LIST = Path(__file__).with_name("architectures.txt")
ENGINE_TABLE = ("vllm", "model_executor/models/registry.py", "_TEXT_GENERATION_MODELS")
TRAINER_TABLE = ("transformers", "models/auto/modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")


@cache
def known() -> Mapping[str, frozenset[str]]:
    """Model types (config.json's model_type) by architecture name."""
    pairs = [line.split() for line in LIST.read_text().splitlines()]
    return {name: frozenset(types) for name, *types in pairs}


def refusal(architecture: str, model_type: str) -> str | None:
    """Why a model of this architecture cannot be used; None if it can."""
    types = known().get(architecture)
    if types is None:
        return (
            f"architecture {architecture} is not among the {len(known())} text models that both the engine and the "
            "trainer know; use a model of one that is, such as LlamaForCausalLM or Qwen3ForCausalLM"
        )
    if model_type not in types:
        return f"model_type {model_type!r} does not belong to architecture {architecture}, which has {sorted(types)}"
    return None


def installed() -> str:
    """The list as the installed libraries have it, one architecture and its model types a line."""
    served = set(_entries(*ENGINE_TABLE))
    types: dict[str, set[str]] = {}
    for model_type, names in _trainable():
        for name in names:
            if name in served:
                types.setdefault(name, set()).add(model_type)
    return "".join(f"{name} {' '.join(sorted(found))}\n" for name, found in sorted(types.items()))


def _trainable() -> Iterator[tuple[str, tuple[str, ...]]]:
    for element in _table(*TRAINER_TABLE):
        model_type, names = ast.literal_eval(element)
        yield model_type, (names,) if isinstance(names, str) else tuple(names)


def _entries(package: str, file: str, table: str) -> Iterator[str]:
    for element in _table(package, file, table):
        yield str(ast.literal_eval(element))


def _table(package: str, file: str, table: str) -> list[ast.expr]:
    """Keys of the dictionary, or pairs of the list, that a library's source assigns to `table`."""
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
    raise LookupError("the table is neither a dictionary nor a list of pairs")


if __name__ == "__main__":
    sys.exit(LIST.write_text(installed()) * 0)
