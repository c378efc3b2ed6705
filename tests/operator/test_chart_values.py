"""The chart's values: one source for defaults and schema."""

from pathlib import Path

import yaml

from selfalign_operator.schemas import chart_values

CHART = Path(__file__).parents[2] / "charts" / "selfalign-operator"


def test_the_chart_holds_the_generated_schema() -> None:
    assert (CHART / "values.schema.json").read_text() == chart_values.schema()


def test_the_default_values_are_those_of_the_models() -> None:
    written = chart_values.Values.model_validate(yaml.safe_load((CHART / "values.yaml").read_text()))
    assert written == chart_values.Values()


def test_chart_and_package_are_of_one_version() -> None:
    from selfalign_operator import __version__

    told = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert told["appVersion"] == told["version"] == __version__
