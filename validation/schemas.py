"""Every object against the schema of its kind, strictly: an unknown field is an error, and so is a CEL rule that fails.

The API server drops what it does not know without a word, so a misspelt field is a setting that is not there.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from validation.objects import Finding, Object, Objects, ToolMissing, title

CRDS = Path(__file__).parents[2] / "shared" / "crds"
"""The schemas that the cluster's add-ons install; not part of the project."""

KUBERNETES = "1.35"
"""The version that eks/ asks for."""

_CORE = ("v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1")

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


def check(objects: Objects) -> Iterator[Finding]:
    """Structure, types, enumerations, required and unknown fields, and the CEL rules of custom kinds.

    Raises:
        ToolMissing: the custom kinds' schemas are not here; the core kinds have been checked by then.
    """
    seen: set[tuple[Any, ...]] = set()
    missing = False
    for each in objects.all:
        metadata = each.get("metadata", {})
        key = (each.get("apiVersion"), each.get("kind"), metadata.get("namespace"), metadata.get("name"))
        if key in seen:
            yield Finding(title(each), "", "is there twice")
        seen.add(key)
        if each.get("apiVersion") in _CORE:
            yield from _findings(each, core_validator(each["kind"], each["apiVersion"]))
        elif not CRDS.is_dir():
            missing = True
        else:
            yield from custom(each)
    if missing:
        raise ToolMissing(f"{CRDS} is not here, so the custom kinds' schemas are not checked")


def custom(each: Object) -> Iterator[Finding]:
    """One object of a custom kind.

    Raises:
        ToolMissing: the schemas are not here.
    """
    schema = custom_schemas().get((each.get("apiVersion", ""), each.get("kind", "")))
    if schema is None:
        yield Finding(title(each), "apiVersion", f"no installed kind is {each.get('apiVersion')} {each.get('kind')}")
        return
    yield from _findings(each, _custom_validator(each["apiVersion"], each["kind"]))
    for where, message in _rules(schema, each, ""):
        yield Finding(title(each), where, message)


@cache
def custom_schemas() -> dict[tuple[str, str], Any]:
    """Schema of every custom kind, by API version and kind.

    Raises:
        ToolMissing: the schemas are not here.
    """
    if not CRDS.is_dir():
        raise ToolMissing(f"{CRDS} is not here")
    found = {}
    for path in sorted(CRDS.glob("*.yaml")):
        spec = yaml.load(path.read_bytes(), yaml.CSafeLoader)["spec"]
        for version in spec["versions"]:
            if version["served"]:
                schema = version["schema"]["openAPIV3Schema"]
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


@cache
def core_validator(kind: str, api_version: str) -> Draft202012Validator:
    """Validator of one of Kubernetes' own kinds, from the schemas that ``kubernetes-validate`` brings."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], version)))
    schema = json.loads((folder / f"{name}.json").read_text())
    registry: Registry[Any] = Resource.from_contents(_core_definitions(str(folder))) @ Registry()
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry)


@cache
def _core_definitions(folder: str) -> Any:
    return json.loads(Path(folder, "_definitions.json").read_text())


@cache
def _custom_validator(api_version: str, kind: str) -> Draft202012Validator:
    strict = _strict(custom_schemas()[api_version, kind])
    strict["properties"]["metadata"] = _METADATA
    return Draft202012Validator(strict)


def _strict(schema: Any) -> Any:
    """The schema with every object closed that does not say it is open."""
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


def _findings(each: Object, validator: Draft202012Validator) -> Iterator[Finding]:
    for error in validator.iter_errors(each):
        yield Finding(title(each), _path(error.absolute_path), error.message[:300])


def _path(steps: Any) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _rules(schema: Any, value: Any, where: str) -> Iterator[tuple[str, str]]:
    """The CEL rules of a schema and of everything in it, evaluated on the value."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            continue  # about a change, and nothing changes here
        if _holds(rule["rule"], value) is False:
            yield where.lstrip("."), rule.get("message", rule["rule"])
    if isinstance(value, dict):
        for name, inner in value.items():
            inner_schema = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(inner_schema, dict):
                yield from _rules(inner_schema, inner, f"{where}.{name}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _rules(schema.get("items", {}), inner, f"{where}[{position}]")


def _holds(rule: str, value: Any) -> bool | None:
    """Whether a rule holds; null where it uses what only Kubernetes' CEL has."""
    try:
        return bool(_program(rule)({"self": json_to_cel(value)}))
    except (CELParseError, CELEvalError):
        return None


@cache
def _program(rule: str) -> Callable[[Any], Any]:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule)).evaluate
