"""Every PromQL expression of the manifests: where it is, which metrics it asks for, and in which unit it answers."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import promql_parser as parser

from validation.objects import Object, Objects, title

COUNT = ""
"""The unit of what has none: counts and shares."""

Unit = Counter[str]
"""Exponents of the base units."""


class Incompatible(ValueError):
    """Two things are added or compared that have different units."""


@dataclass(frozen=True)
class Expression:
    """One expression.

    Attributes:
        owner: title of the object that it is in.
        where: the place in it.
        text: PromQL.
        role: ``trigger``, ``record``, ``alert`` or ``panel``.
        record: the name that it defines, if it does.
        threshold: of a trigger, as written.
        part: of the chain that a trigger scales.
    """

    owner: str
    where: str
    text: str
    role: str
    record: str = ""
    threshold: str = ""
    part: str = ""


def expressions(objects: Objects) -> list[Expression]:
    """All of them: autoscaling triggers, recording rules, alerts and dashboard panels."""
    found: list[Expression] = []
    for chain in objects.chains:
        for part in ("predictor", "transformer"):
            found += _triggers(chain, part)
    for each in objects.of("PrometheusRule"):
        for group in each["spec"]["groups"]:
            for rule in group["rules"]:
                name = rule.get("record") or rule.get("alert") or ""
                role = "record" if "record" in rule else "alert"
                found.append(Expression(title(each), name, rule["expr"], role, rule.get("record", "")))
    for each in objects.of("ConfigMap"):
        for file, text in each.get("data", {}).items():
            if file.endswith(".json"):
                found += _panels(title(each), file, json.loads(text))
    return found


def _triggers(chain: Object, part: str) -> Iterator[Expression]:
    for number, metric in enumerate(chain["spec"].get(part, {}).get("autoScaling", {}).get("metrics", ())):
        if metric["type"] == "External":
            external = metric["external"]
            yield Expression(
                title(chain),
                f"spec.{part}.autoScaling.metrics[{number}]",
                external["metric"].get("query", ""),
                "trigger",
                threshold=str(external["target"].get("value", "")),
                part=part,
            )


def _panels(owner: str, file: str, dashboard: Mapping[str, Any]) -> Iterator[Expression]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Expression(owner, f"{file} {panel['title']!r}", target["expr"], "panel")


@cache
def own_metrics() -> dict[str, str]:
    """Units of every series that Winnow's servers can expose, by its name."""
    command = [sys.executable, "-m", "validation.exposed"]
    found: dict[str, str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603
    return found


def metrics_of(text: str) -> Iterator[str]:
    """Names of the series that an expression asks for.

    Raises:
        ValueError: it is not PromQL.
    """
    yield from _names(parser.parse(text))


def watched(text: str) -> list[str]:
    """What an expression looks at, apart from comparisons: an alert is silent when all is well, these are not."""
    return list(_watched(parser.parse(text)))


def _watched(node: Any) -> Iterator[str]:
    if isinstance(node, parser.ParenExpr):
        yield from _watched(node.expr)
    elif isinstance(node, parser.Call) and node.func.name == "absent":
        yield from _watched(node.args[0])
    elif isinstance(node, parser.BinaryExpr) and str(node.op) in (*_COMPARISONS, "and", "or", "unless"):
        yield from _watched(node.lhs)
        yield from _watched(node.rhs)
    elif _number(node) is None:
        yield node.prettify()


def matched(text: str, label: str) -> set[str]:
    """Values that the selectors of an expression want a label to have exactly."""
    return {
        each.value for each in _matchers(parser.parse(text)) if each.name == label and each.op == parser.MatchOp.Equal
    }


def _matchers(node: Any) -> Iterator[Any]:
    for selector in _selectors(node):
        yield from selector.matchers.matchers


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, parser.VectorSelector):
        yield node
    elif isinstance(node, parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, parser.BinaryExpr):
        yield from _selectors(node.lhs)
        yield from _selectors(node.rhs)
    elif isinstance(node, parser.Call):
        for argument in node.args:
            yield from _selectors(argument)
    elif hasattr(node, "expr"):
        yield from _selectors(node.expr)


def _names(node: Any) -> Iterator[str]:
    return (selector.name or "" for selector in _selectors(node))


class Units:
    """Works out the unit of expressions.

    Args:
        metrics: unit of every known series that is not recorded.
        records: expression of every recorded series.
    """

    def __init__(self, metrics: Mapping[str, str], records: Mapping[str, str]) -> None:
        self._metrics = metrics
        self._records = records

    def of(self, text: str) -> Unit:
        """The unit of an expression's values.

        Raises:
            Incompatible: it adds or compares values of different units.
            ValueError: it is not PromQL.
        """
        return self._unit(parser.parse(text))

    def compared(self, text: str) -> list[tuple[Unit, float]]:
        """The comparisons with a number in an expression: unit and number."""
        return list(self._compared(parser.parse(text)))

    def _compared(self, node: Any) -> Iterator[tuple[Unit, float]]:
        if isinstance(node, parser.BinaryExpr):
            if str(node.op) in _COMPARISONS:
                number = _number(node.rhs)
                if number:
                    yield self._unit(node.lhs), number
            yield from self._compared(node.lhs)
            yield from self._compared(node.rhs)
        elif hasattr(node, "expr"):
            yield from self._compared(node.expr)

    def _unit(self, node: Any) -> Unit:
        if isinstance(node, parser.VectorSelector):
            return self._series(node.name or "")
        if isinstance(node, parser.MatrixSelector):
            return self._series(node.vector_selector.name or "")
        if isinstance(node, parser.BinaryExpr):
            return self._binary(node)
        if isinstance(node, parser.Call):
            return self._call(node.func.name, node.args)
        if isinstance(node, parser.AggregateExpr):
            return Counter() if str(node.op) in ("count", "group") else self._unit(node.expr)
        return self._unit(node.expr) if hasattr(node, "expr") else Counter()

    def _series(self, name: str) -> Unit:
        if name in self._records:
            return self.of(self._records[name])
        if name.endswith("_bucket"):
            return Counter()  # how many, whatever the buckets are of
        unit = self._metrics.get(name, COUNT)
        return Counter({unit: 1} if unit else {})

    def _call(self, function: str, arguments: list[Any]) -> Unit:
        if function == "histogram_quantile":
            units = {self._metrics.get(name, COUNT) for name in _names(arguments[1])} - {COUNT}
            return Counter(dict.fromkeys(units, 1))
        if function == "absent" or not arguments:
            return Counter()
        unit = self._unit(arguments[0])
        return _times(unit, Counter({"seconds": 1}), -1) if function in ("rate", "irate") else unit

    def _binary(self, node: Any) -> Unit:
        left, right, operation = self._unit(node.lhs), self._unit(node.rhs), str(node.op)
        if operation in ("*", "/"):
            return _times(left, right, 1 if operation == "*" else -1)
        number = _number(node.lhs) is not None or _number(node.rhs) is not None
        if operation in (*_COMPARISONS, "+", "-") and left != right and not number:
            raise Incompatible(f"{operation} between {spelled(left)} and {spelled(right)}")
        return left if _number(node.lhs) is None else right


_COMPARISONS = (">", "<", ">=", "<=", "==", "!=")


def _number(node: Any) -> float | None:
    """The value of an expression of numbers only."""
    if isinstance(node, parser.NumberLiteral):
        return float(node.val)
    if isinstance(node, parser.ParenExpr):
        return _number(node.expr)
    if isinstance(node, parser.BinaryExpr) and str(node.op) == "*":
        left, right = _number(node.lhs), _number(node.rhs)
        return None if left is None or right is None else left * right
    return None


def _times(left: Unit, right: Unit, power: int) -> Unit:
    product = Counter(left)
    for unit, exponent in right.items():
        product[unit] += power * exponent
    return Counter({unit: exponent for unit, exponent in product.items() if exponent})


def spelled(unit: Unit) -> str:
    """A unit in words."""
    return " ".join(f"{name}^{power}" if power != 1 else name for name, power in sorted(unit.items())) or "a count"
