"""Makes pydantic's JSON schema structural, as an API server demands: no $ref, anyOf or null; OpenAPI v3.0. Pure."""

from typing import Any

DROPPED = {"title", "additionalProperties", "default", "anyOf", "const", "$defs", "$ref"}
Schema = dict[str, Any]


def structural(schema: Schema) -> Schema:
    """The structural form of a whole JSON schema with its $defs."""
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    schema = _resolved(schema, definitions)
    if schema.get("x-kubernetes-int-or-string"):
        return {"x-kubernetes-int-or-string": True} | _kept(schema)
    if not schema.keys() - {"title", "default", "description"}:
        return {"x-kubernetes-preserve-unknown-fields": True} | _kept(schema)
    found = _bounds(_kept(schema))
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if "properties" in schema:
        found["properties"] = {name: _convert(inner, definitions) for name, inner in schema["properties"].items()}
    elif isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = _convert(schema["additionalProperties"], definitions)
    if "items" in schema:
        found["items"] = _convert(schema["items"], definitions)
    if found.get("type") == "integer":
        found["format"] = "int64"
    if (default := _default(schema.get("default"), found)) is not None:
        found["default"] = default
    return found


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """References and optionals replaced by what they stand for; what stands beside them wins."""
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


def _kept(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key not in DROPPED}
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    return kept


def _bounds(schema: Schema) -> Schema:
    """OpenAPI v3.0 marks a bound as exclusive by a flag beside it."""
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            schema = {**schema, plain: schema[exclusive], exclusive: True}
    return schema


def _default(value: Any, schema: Schema) -> Any:
    """A default with what the fields within default to; None where there is nothing to say.

    An API server checks CEL rules on a default as it stands, before it fills in what the fields within default to.
    """
    if not isinstance(value, dict):
        return None if value in ([], ()) else value
    properties = schema.get("properties")
    if properties is None:
        return value or None
    given = {name: _default(inner, properties[name]) for name, inner in value.items() if inner is not None}
    within = {name: inner["default"] for name, inner in properties.items() if "default" in inner}
    return within | {name: inner for name, inner in given.items() if inner is not None}
