"""Units of PromQL expressions, worked out through rates, quotients, aggregations and quantiles."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as parser

from cluster_validation.metrics.promql import COMPARISONS, names, number

COUNT = ""
"""The unit of counts and ratios."""

Unit = Counter[str]
"""Exponent by base unit."""


class Incompatible(ValueError):
    """An expression adds or compares values of different units."""


class Units:
    """Derives the unit of expressions.

    Args:
        metrics: unit of every exposed series, by its name.
        records: expression of every recorded series, by its name.
    """

    def __init__(self, metrics: Mapping[str, str], records: Mapping[str, str]) -> None:
        self._metrics = metrics
        self._records = records

    def of(self, text: str) -> Unit:
        """The unit of an expression's values.

        Raises:
            Incompatible: the expression adds or compares values of different units.
            ValueError: the text is not PromQL.
        """
        return self._unit(parser.parse(text))

    def compared(self, text: str) -> list[tuple[Unit, float]]:
        """Unit and number of every comparison with a number in an expression."""
        return list(self._compared(parser.parse(text)))

    def _compared(self, node: Any) -> Iterator[tuple[Unit, float]]:
        if isinstance(node, parser.BinaryExpr):
            if str(node.op) in COMPARISONS:
                constant = number(node.rhs)
                if constant:
                    yield self._unit(node.lhs), constant
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
            return Counter()  # A bucket counts observations, in whatever unit its bounds are.
        unit = self._metrics.get(name, COUNT)
        return Counter({unit: 1} if unit else {})

    def _call(self, function: str, arguments: list[Any]) -> Unit:
        if function == "histogram_quantile":
            units = {self._metrics.get(name, COUNT) for name in names(arguments[1])} - {COUNT}
            return Counter(dict.fromkeys(units, 1))
        if function == "absent" or not arguments:
            return Counter()
        unit = self._unit(arguments[0])
        return _times(unit, Counter({"seconds": 1}), -1) if function in ("rate", "irate") else unit

    def _binary(self, node: Any) -> Unit:
        left, right, operation = self._unit(node.lhs), self._unit(node.rhs), str(node.op)
        if operation in ("*", "/"):
            return _times(left, right, 1 if operation == "*" else -1)
        constant = number(node.lhs) is not None or number(node.rhs) is not None
        if operation in (*COMPARISONS, "+", "-") and left != right and not constant:
            raise Incompatible(f"{operation} between {spelled(left)} and {spelled(right)}")
        return left if number(node.lhs) is None else right


def _times(left: Unit, right: Unit, power: int) -> Unit:
    product = Counter(left)
    for unit, exponent in right.items():
        product[unit] += power * exponent
    return Counter({unit: exponent for unit, exponent in product.items() if exponent})


def spelled(unit: Unit) -> str:
    """The unit in words, such as ``microseconds seconds^-1``; ``a count`` for none."""
    return " ".join(f"{name}^{power}" if power != 1 else name for name, power in sorted(unit.items())) or "a count"
