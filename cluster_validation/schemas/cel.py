"""The CEL rules in a custom kind's schema, evaluated on an object."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError


def broken_rules(schema: Any, value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Path and message of every rule, of the schema and of its parts, that does not hold for a value."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            continue  # It compares an update with the object before it.
        if _holds(rule["rule"], value) is False:
            yield where.lstrip("."), rule.get("message", rule["rule"])
    if isinstance(value, dict):
        for name, inner in value.items():
            inner_schema = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(inner_schema, dict):
                yield from broken_rules(inner_schema, inner, f"{where}.{name}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from broken_rules(schema.get("items", {}), inner, f"{where}[{position}]")


def _holds(rule: str, value: Any) -> bool | None:
    """Whether a rule holds; ``None`` where it uses a function that only Kubernetes' CEL has."""
    try:
        return bool(_program(rule)({"self": json_to_cel(value)}))
    except (CELParseError, CELEvalError):
        return None


@cache
def _program(rule: str) -> Callable[[Any], Any]:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule)).evaluate
