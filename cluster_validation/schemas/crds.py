"""The vendored definitions of custom kinds (``crds/``): reading them, and making them from a project's own."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).with_name("crds")
"""One CustomResourceDefinition per file, ``GROUP_PLURAL.yaml``."""

Schema = dict[str, Any]

_SHARED_LENGTH = 120
"""Characters of JSON from which a repeated part of a schema is written once, as a YAML anchor."""


@cache
def custom_schemas() -> dict[tuple[str, str], Schema]:
    """Schema of every vendored custom kind, by API version and kind."""
    found = {}
    for path in sorted(CRDS.glob("*.yaml")):
        spec = yaml.load(path.read_bytes(), yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            if version["served"]:
                schema = version["schema"]["openAPIV3Schema"]
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def resource_names() -> list[str]:
    """``PLURAL.GROUP`` of every vendored definition."""
    pairs = (path.stem.partition("_") for path in sorted(CRDS.glob("*.yaml")))
    return [f"{plural}.{group}" for group, _, plural in pairs]


def vendored(definition: Path) -> str:
    """A project's definition as it is vendored.

    Descriptions are dropped, and equal parts of the schema share one YAML anchor: an InferenceService repeats the
    schema of a pod many times, and takes 120 KB instead of 1.9 MB.

    Args:
        definition: file with one CustomResourceDefinition.

    Returns:
        YAML, with the fields in the order of the original.
    """
    original = yaml.load(definition.read_bytes(), yaml.CSafeLoader)
    kept = {key: original[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    shared = _shared(_without_descriptions(kept), {})
    return yaml.dump(shared, Dumper=yaml.CSafeDumper, sort_keys=False, width=120)


def _without_descriptions(node: Any, *, named: bool = False) -> Any:
    """A schema without its descriptions.

    Args:
        node: the schema, or a part of it.
        named: whether the keys of ``node`` are names of fields, where ``description`` may be one.
    """
    if isinstance(node, list):
        return [_without_descriptions(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_descriptions(value, named=key == "properties" and not named)
        for key, value in node.items()
        if named or key != "description"
    }


def _shared(node: Any, seen: dict[str, Any]) -> Any:
    """The same tree with one object for all equal parts, which PyYAML writes as an anchor and its aliases."""
    if isinstance(node, dict):
        node = {key: _shared(value, seen) for key, value in node.items()}
    elif isinstance(node, list):
        node = [_shared(each, seen) for each in node]
    else:
        return node
    text = json.dumps(node)
    return node if len(text) < _SHARED_LENGTH else seen.setdefault(text, node)
