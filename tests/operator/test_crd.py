"""The CRD: generated, structural, small, explained field by field, and the one in the chart."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import regex  # type: ignore[import-untyped]
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel
from tests.operator.builders import manifest
from tests.operator.schema_walk import faults, nodes
from tests.operator.test_manifest_loading import WRONG_VALUES

from selfalign_operator.api import training
from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest import overrides
from selfalign_operator.manifest.loading import load
from selfalign_operator.schemas import crd

ROOT = Path(__file__).parents[2]
SCHEMA = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "discriminator", "prefixItems"}


def at(path: str) -> dict[str, Any]:
    return dict(nodes(SCHEMA))[path]


def explained() -> list[tuple[str, dict[str, Any]]]:
    """Everything that `kubectl explain` can show: spec and status, at any depth, list items and map values included."""
    return [(path, node) for path, node in nodes(SCHEMA) if path.startswith((".spec", ".status"))]


def test_the_chart_has_the_generated_definition() -> None:
    text = (ROOT / "charts/selfalign-operator/files/crd.yaml").read_text()
    assert text == crd.text(), "run: selfalign crd > charts/selfalign-operator/files/crd.yaml"
    assert "{{" not in text


def test_the_definition_survives_uninstalling_the_chart_and_fits_an_annotation() -> None:
    text = crd.text()
    assert yaml.safe_load(text)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert len(text.encode()) < 200_000
    assert "&id" not in text


def test_the_schema_is_structural() -> None:
    for path, node in nodes(SCHEMA):
        assert not FORBIDDEN & node.keys(), path
        schemaless = node.get("x-kubernetes-preserve-unknown-fields") or node.get("x-kubernetes-int-or-string")
        assert "type" in node or schemaless, path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert node.get("default", 0) is not None, path


def test_bounds_are_those_of_openapi_3_0() -> None:
    learning_rate = at(".spec.stages.engraving.learningRate")
    assert (learning_rate["minimum"], learning_rate["exclusiveMinimum"]) == (0, True)
    assert all(isinstance(node.get("exclusiveMaximum", True), bool) for _, node in nodes(SCHEMA))


def test_a_run_without_a_status_differs_from_a_current_one() -> None:
    assert SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert not [path for path, node in nodes(SCHEMA) if path.startswith(".status.") and "default" in node]


def test_defaults_come_from_the_models() -> None:
    assert at(".spec.stages.redTeaming.dedupRougeL")["default"] == 0.7
    assert at(".spec.principles")["default"] == {"builtin": "dromedary-16"}
    assert at(".spec.stages")["default"]["redTeaming"]["dedupRougeL"] == 0.7
    assert "default" not in at(".spec.stages.evaluation.suites"), "it follows from the principle pack"


def test_lists_with_names_are_maps() -> None:
    keys = {path: node.get("x-kubernetes-list-map-keys") for path, node in nodes(SCHEMA) if "items" in node}
    assert keys[".status.conditions"] == ["type"]
    assert keys[".status.stages"] == keys[".status.stages.items.steps"] == ["name"]
    assert keys[".spec.stages.evaluation.suites"] == ["name"]


def test_every_rule_has_a_message_and_every_string_under_spec_a_limit() -> None:
    for path, node in nodes(SCHEMA):
        assert all(rule["message"] for rule in node.get("x-kubernetes-validations", ())), path
        if path.startswith(".spec") and node.get("type") == "string":
            assert "maxLength" in node or "enum" in node or "pattern" in node, path


def test_pod_templates_have_no_schema() -> None:
    template = at(".spec.podDefaults.template")
    assert template["x-kubernetes-preserve-unknown-fields"] is True and "properties" not in template


def test_columns_and_names_are_what_people_type() -> None:
    definition = crd.definition()["spec"]
    assert definition["names"]["shortNames"] == ["sar"] and definition["names"]["categories"] == ["selfalign"]
    columns = [column["name"] for column in definition["versions"][0]["additionalPrinterColumns"]]
    assert columns == ["Phase", "Stage", "Progress", "Reason", "Image", "GPU hours", "Reference", "Queue", "Age"]
    assert definition["versions"][0]["subresources"] == {"status": {}}


def test_every_field_of_spec_and_status_is_explained_in_sentences() -> None:
    wrong = {path: problems for path, node in explained() if (problems := faults(node.get("description")))}
    assert wrong == {}
    assert len([path for path, _ in explained() if path.startswith(".status")]) > 80


@pytest.mark.parametrize(
    ("description", "fault"),
    [
        (None, "no description"),
        ("Peak rate.", "fewer than 4 words"),
        ("peak learning rate of AdamW.", "capital letter"),
        ("Peak learning rate of AdamW", "full stop"),
        ("Problems that preflight found.", "'found'"),
        ("Image that we push last.", "'we'"),
    ],
)
def test_a_bad_description_would_be_noticed(description: str | None, fault: str) -> None:
    assert any(fault in problem for problem in faults(description))


def test_defaults_are_named_because_kubectl_explain_shows_none() -> None:
    assert at(".spec.seed")["description"].endswith("Default: 42.")
    assert at(".spec.suspend")["description"].endswith("Default: false.")
    assert at(".spec.image.formats")["description"].endswith("Default: modelcar.")
    assert at(".spec.retries")["description"].endswith("Default: that of each field.")
    fields = [(path, node) for path, node in explained() if path.startswith(".spec.")]
    assert [path for path, node in fields if "default" in node and "Default: " not in node["description"]] == []


def test_unset_training_fields_are_described_by_their_presets() -> None:
    rate, length = (at(f".spec.stages.engraving.{name}")["description"] for name in ("learningRate", "maxLength"))
    assert rate.endswith("Unset: 2e-4 (preset standard) or 4e-4 (paper); 1e-5 with preset standard and method full.")
    assert length.endswith("Unset: 1024 (preset standard) or 512 (paper); 768 with preset paper in cloning.")
    for name, value in training.PRESETS["paper"].items():
        field = at(f".spec.stages.engraving.{to_camel(name)}")
        assert "default" not in field and "Unset: " in field["description"], name
        assert isinstance(value, tuple | float) or f"{value}" in field["description"], name


def matches(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    """The keyword `pattern` as RE2 reads it: with categories such as \\p{Cf}, and $ at the very end only."""
    if isinstance(instance, str) and not regex.search(regex.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


# OpenAPI v3.0 marks exclusive bounds as JSON schema draft 4 does.
Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft4Validator, {"pattern": matches}
)


def refusals(document: Any) -> list[str]:
    """Violations of the schema."""
    return [error.message for error in Validator(SCHEMA).iter_errors(document)]


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES)
def test_the_schema_refuses_what_validate_refuses(field: str, value: Any) -> None:
    document = manifest()
    assert refusals(document) == []
    assert overrides.apply(document, f"{field}={json.dumps(value)}") is None
    assert refusals(document)


GRAMMARS = {
    "spec.budget.deadline": st.text("0019hms \n", max_size=8)
    | st.from_regex(r"([0-9]{1,7}[hms]){1,3}", fullmatch=True),
    "spec.stages.engraving.resources.limits": st.text("0019.eE+-kKMGinum", max_size=7)
    | st.from_regex(r"[0-9]{1,21}(\.[0-9]{0,20})?(m|Gi|e[0-9]{1,4})?", fullmatch=True),
    "spec.assistantName": st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=42),
    "metadata.name": st.text("aA0-._\n", max_size=5),
}
"""Fields whose texts have a grammar, and texts near its border."""


@pytest.mark.parametrize("field", GRAMMARS)
@settings(deadline=None)
@given(st.data())
def test_schema_and_validate_accept_the_same_texts(field: str, data: st.DataObject) -> None:
    value: Any = data.draw(GRAMMARS[field])
    document = manifest()
    value = {"memory": value} if field.endswith("limits") else value
    container, parts = document, field.split(".")
    for part in parts[:-1]:
        container = container.setdefault(part, {})
    container[parts[-1]] = value
    assert bool(refusals(document)) is not isinstance(load(json.dumps(document)), SelfAlignRun)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_takes_the_examples(file: Path) -> None:
    assert refusals(yaml.safe_load(file.read_text())) == []
