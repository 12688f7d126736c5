"""Validates every object strictly against the schema of its kind: structure, unknown fields and CEL rules.

The API server silently drops a field that it does not know, so a misspelt field is a setting that has no effect.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator

from cluster_validation.manifests.objects import Finding, Object, Objects, title
from cluster_validation.schemas.cel import broken_rules
from cluster_validation.schemas.core import CORE, core_validator
from cluster_validation.schemas.crds import custom_schemas
from cluster_validation.schemas.strict import custom_validator


def check(objects: Objects) -> Iterator[Finding]:
    """The objects of one overlay."""
    yield from check_all(objects.all)


def check_all(objects: Iterable[Object]) -> Iterator[Finding]:
    """Structure, types, enumerations, required and unknown fields, CEL rules of custom kinds, and duplicates."""
    seen: set[tuple[Any, ...]] = set()
    for each in objects:
        metadata = each.get("metadata", {})
        key = (each.get("apiVersion"), each.get("kind"), metadata.get("namespace"), metadata.get("name"))
        if key in seen:
            yield Finding(title(each), "", "is defined twice")
        seen.add(key)
        if each.get("apiVersion") in CORE:
            yield from _structure(each, core_validator(each["kind"], each["apiVersion"]))
        else:
            yield from _custom(each)


def _custom(each: Object) -> Iterator[Finding]:
    schema = custom_schemas().get((each.get("apiVersion", ""), each.get("kind", "")))
    if schema is None:
        yield Finding(title(each), "apiVersion", f"no installed kind is {each.get('apiVersion')} {each.get('kind')}")
        return
    yield from _structure(each, custom_validator(each["apiVersion"], each["kind"]))
    for where, message in broken_rules(schema, each):
        yield Finding(title(each), where, message)


def _structure(each: Object, validator: Draft202012Validator) -> Iterator[Finding]:
    for error in validator.iter_errors(each):
        yield Finding(title(each), _path(error.absolute_path), error.message[:300])


def _path(steps: Iterable[Any]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
