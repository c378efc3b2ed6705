"""Converts pydantic's JSON schema (draft 2020-12) to a structural schema, the subset that a CRD may use. Pure.

A structural schema (Kubernetes documentation, "Specifying a structural schema") is OpenAPI v3.0 without `$ref`, without
unions and without `null` types: the API server prunes and defaults by it, and must see one type per field. pydantic
writes references for nested models and `anyOf` with null for optional fields; both are resolved here. A real union
cannot be expressed and is an error, so that a model that would lose its validation does not get into the chart.
"""

from typing import Any

DROPPED = {"title", "additionalProperties", "default", "anyOf", "const", "$defs", "$ref"}
"""Keywords that a structural schema forbids, or that are converted on their own."""
ANNOTATIONS = {"title", "default", "description"}
"""Keywords without effect on validation. A schema that has no others takes any value."""
Schema = dict[str, Any]


def structural(schema: Schema) -> Schema:
    """Returns the structural form of a whole JSON schema with its `$defs`.

    Raises:
        ValueError: a field is a union of two types besides null.
    """
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolved(schema, definitions)
    if schema.get("x-kubernetes-int-or-string"):
        return {"x-kubernetes-int-or-string": True} | _without_dropped(schema)
    if not schema.keys() - ANNOTATIONS:
        return {"x-kubernetes-preserve-unknown-fields": True} | _without_dropped(schema)
    converted = _with_openapi_bounds(_without_dropped(schema))
    if "const" in schema:
        converted["enum"] = [schema["const"]]
    # a structural schema has either fields or additionalProperties: what no field names is pruned
    if "properties" in schema:
        converted["properties"] = {name: _convert(inner, definitions) for name, inner in schema["properties"].items()}
    elif isinstance(schema.get("additionalProperties"), dict):
        converted["additionalProperties"] = _convert(schema["additionalProperties"], definitions)
    if "items" in schema:
        converted["items"] = _convert(schema["items"], definitions)
    if converted.get("type") == "integer":
        converted["format"] = "int64"
    if (default := _default(schema.get("default"), converted)) is not None:
        converted["default"] = default
    return converted


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Replaces references and optional types by what they refer to; keywords beside a reference override it."""
    while "$ref" in schema or "anyOf" in schema:
        if "$ref" in schema:
            inner = definitions[schema["$ref"].rpartition("/")[2]]
        else:
            members = [member for member in schema["anyOf"] if member.get("type") != "null"]
            if len(members) != 1:
                raise ValueError(f"a structural schema has no unions: {schema}")
            inner = members[0]
        beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
        schema = {**inner, **beside}
    return schema


def _without_dropped(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key not in DROPPED}
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())  # docstrings have line breaks and indents
    return kept


def _with_openapi_bounds(schema: Schema) -> Schema:
    """Rewrites exclusive bounds, which are values in JSON schema and flags beside the bound in OpenAPI v3.0."""
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            schema = {**schema, plain: schema[exclusive], exclusive: True}
    return schema


def _default(value: Any, schema: Schema) -> Any:
    """Returns a default merged with the defaults of the fields within it, or None if it is empty.

    The API server evaluates CEL rules on a default as it is written, before it fills in the defaults of nested fields.
    A rule that reads such a field would fail on every object, so the merge happens here.

    Args:
        value: the default that pydantic wrote, or None.
        schema: the structural schema that the default belongs to.
    """
    if not isinstance(value, dict):
        return None if value in ([], ()) else value
    properties = schema.get("properties")
    if properties is None:
        return value or None
    own = {name: _default(inner, properties[name]) for name, inner in value.items() if inner is not None}
    nested = {name: inner["default"] for name, inner in properties.items() if "default" in inner}
    return nested | {name: inner for name, inner in own.items() if inner is not None}
