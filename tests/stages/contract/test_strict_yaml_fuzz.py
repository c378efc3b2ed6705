"""Whatever a YAML or JSON text contains, the strict parsers return plain values or raise ValueError."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mutations import mutations
from tests.scale import scaled

from selfalign_stages.contract import strict_json, strict_yaml

ROOT = Path(__file__).parents[3]
YAML_TEXTS = [path.read_text() for path in sorted((ROOT / "examples").glob("*.yaml"))] + [
    "a: &x {b: [1, 0x1F, 1e3], c: 'it''s', d: \"q\\u00e9\\n\"}\ne: *x\nf: {<<: *x, g: ~}\n",
    "? key\n: - |\n   block\n   text\n  - >-\n   folded\n\n   text\n- # no\n",
    '{"json": [true, null, -1.5e-3, {"deep": [[[]]]}], "text": "a\\tb\\/c\\ud83d"}\n',
    "# comment\n%TAG !e! tag:e.org,2000:\n--- !!map\nplain text: over\n  two lines\n...\n",
]
JSON_TEXTS = [
    '{"a": [1, -2.5e3, true, null, "t\\u00e9\\ud83d\\ude00x"], "b": {"c": {"d": []}}, "e": ""}',
    json.dumps({"metadata": {"format": "pt"}, "weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}),
    '[{"question": "Q?", "mc1_targets": {"yes": 1, "no": 0}}]',
]


def assert_plain(value: Any) -> None:
    """Fails if a value is anything but what JSON can hold, text keys and encodable texts included."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            value.encode()
        else:
            assert value is None or type(value) in (bool, int, float)


@pytest.mark.parametrize("seed", range(4))
def test_any_yaml_is_a_value_or_a_value_error(seed: int) -> None:
    refused = 0
    for text in mutations(YAML_TEXTS, scaled(100, 25_000), seed=seed):
        try:
            assert_plain(strict_yaml.parse(text))
        except ValueError as error:
            refused += 1
            assert str(error) and "\n" not in str(error), error
    assert refused  # otherwise the mutations would be too tame


@pytest.mark.parametrize("seed", range(4))
def test_any_json_is_a_value_or_a_value_error(seed: int) -> None:
    for text in mutations(JSON_TEXTS, scaled(100, 25_000), seed=seed):
        data = text.encode(errors="surrogatepass") if seed % 2 else text
        try:
            value = strict_json.loads(data)
        except ValueError:
            continue
        assert_plain(value)
        assert json.loads(text.removeprefix("\ufeff")) == value


@settings(deadline=None, max_examples=scaled(100, 5_000))
@given(st.text(alphabet="ab01:,-?&*!|>'\"%@`[]{}#\\ \t\n\r<~._xeEoN\u2028\ufeff", max_size=60))
def test_any_mixture_of_indicators_is_a_value_or_a_value_error(text: str) -> None:
    try:
        assert_plain(strict_yaml.parse(text))
    except ValueError as error:
        assert str(error)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Characters that are not printable in YAML are escaped by JSON in surrogate pairs or not at all.
    | st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<~1y", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=scaled(100, 5_000))
@given(json_values)
def test_json_is_yaml(value: Any) -> None:
    """An override such as --set spec.a='{"b": 1}' means what it means as JSON."""
    assert strict_yaml.parse(json.dumps(value)) == value


@given(st.floats(allow_nan=True) | st.integers(-(10**30), 10**30))
def test_every_number_that_python_writes_is_read_as_that_number(number: float) -> None:
    text = repr(number).replace("inf", ".inf").replace("nan", ".nan")
    read = strict_yaml.parse(text)
    assert (
        math.isnan(read)
        if isinstance(number, float) and math.isnan(number)
        else read == float(number) or read == number
    )
