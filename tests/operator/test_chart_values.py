"""The chart's values: one source for defaults and schema."""

from pathlib import Path

import yaml
from tests.operator.schema_walk import faults, nodes

from selfalign_operator.schemas import chart_values

CHART = Path(__file__).parents[2] / "charts" / "selfalign-operator"


def test_the_chart_has_the_generated_schema() -> None:
    command = "python -m selfalign_operator.schemas.chart_values > charts/selfalign-operator/values.schema.json"
    assert (CHART / "values.schema.json").read_text() == chart_values.schema(), f"run: {command}"


def test_every_value_is_explained_in_sentences() -> None:
    schema = chart_values.Values.model_json_schema(by_alias=True)
    parts = [("", schema), *schema["$defs"].items()]
    described = [(path, node.get("description")) for name, part in parts for path, node in nodes(part, name)]
    assert {path: problems for path, text in described if (problems := faults(text))} == {}


def test_the_values_file_lists_every_value() -> None:
    written = yaml.safe_load((CHART / "values.yaml").read_text())
    known = chart_values.Values().to_dict()
    assert written.keys() == known.keys() - {"global"}
    assert {name: value.keys() for name, value in written.items() if isinstance(value, dict)} == {
        name: known[name].keys() for name in written if isinstance(known[name], dict)
    }


def test_the_default_values_are_those_of_the_models() -> None:
    written = chart_values.Values.model_validate(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert written == chart_values.Values()


def test_chart_and_package_are_of_one_version() -> None:
    from selfalign_operator import __version__

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__
