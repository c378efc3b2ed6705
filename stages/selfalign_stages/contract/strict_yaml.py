"""Strict YAML, read as the Kubernetes API server reads it: for run manifests and principle packs alike.

PyYAML implements YAML 1.1 and keeps the last of two equal keys silently. The API server converts YAML 1.2 to JSON:
`1e-3` is a number, `2024-01-01` is text, and a duplicate key is an error. The same file must mean the same on a
laptop and on a cluster, hence one loader with those rules.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

INTEGER = re.compile(r"^[-+]?[0-9]+$|^0o[0-7]+$|^0x[0-9a-fA-F]+$")
FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")


class StrictLoader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 numbers, without dates, that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Builds a mapping.

        Args:
            node: the parsed mapping.
            deep: whether to build the values too; part of PyYAML's interface.

        Raises:
            ConstructorError: a key is not text or occurs a second time; its mark names line and column.
        """
        keys: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not text: put it in quotes", key_node.start_mark
                )
            if key in keys and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key!r}: keep one of them", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def _build_resolvers() -> None:
    """Replaces PyYAML's rules for plain scalars, which read 1e-3 as text, 0777 as octal and 2024-01-01 as a date."""
    replaced = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp")}
    StrictLoader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in replaced]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    StrictLoader.add_implicit_resolver("tag:yaml.org,2002:int", INTEGER, list("-+0123456789"))
    StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def _integer(loader: StrictLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _float(loader: StrictLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


_build_resolvers()
StrictLoader.add_constructor("tag:yaml.org,2002:int", _integer)
StrictLoader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(text: str) -> Any:
    """Parses a text that is one YAML document.

    Returns:
        dict, list, str, int, float, bool or None.

    Raises:
        ValueError: not YAML, a duplicate key, or not exactly one document; the message names line, column and remedy.
    """
    try:
        documents = list(yaml.load_all(text, StrictLoader))
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explain(error)) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"not YAML: {error}") from None
    if len(documents) != 1:
        raise ValueError(f"one document is expected, there are {len(documents)}: put each run in a file of its own")
    return documents[0]


def _explain(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{place}{error.problem or error.context or 'not YAML'}"
