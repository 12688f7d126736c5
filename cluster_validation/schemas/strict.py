"""JSON schemas of custom kinds in which an unknown field is an error."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from cluster_validation.schemas.crds import custom_schemas

_METADATA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"},
        "namespace": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"},
        "labels": {
            "type": "object",
            "additionalProperties": {
                "type": "string",
                "pattern": r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
            },
        },
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["name"],
}
"""A custom kind's own schema says only that its metadata are an object."""


@cache
def custom_validator(api_version: str, kind: str) -> Draft202012Validator:
    """Validator of a vendored custom kind.

    Raises:
        KeyError: the kind is not vendored.
    """
    strict = _strict(custom_schemas()[api_version, kind])
    strict["properties"]["metadata"] = _METADATA
    return Draft202012Validator(strict)


def _strict(schema: Any) -> Any:
    """The schema with unknown fields refused by every object that does not declare itself open."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {
        key: _strict(value) if key in ("items", "additionalProperties") else value for key, value in schema.items()
    }
    if "properties" in schema:
        strict["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        strict["type"] = [schema["type"], "null"]
    return strict
