"""PromQL: the series that an expression selects, its operands and its comparisons."""

from collections.abc import Iterator
from typing import Any

import promql_parser as parser

COMPARISONS = (">", "<", ">=", "<=", "==", "!=")


def metrics_of(text: str) -> Iterator[str]:
    """Names of the series that an expression selects.

    Raises:
        ValueError: the text is not PromQL.
    """
    yield from names(parser.parse(text))


def watched(text: str) -> list[str]:
    """The operands of an expression's comparisons: they have values while the alert itself returns nothing."""
    return list(_watched(parser.parse(text)))


def _watched(node: Any) -> Iterator[str]:
    if isinstance(node, parser.ParenExpr):
        yield from _watched(node.expr)
    elif isinstance(node, parser.Call) and node.func.name == "absent":
        yield from _watched(node.args[0])
    elif isinstance(node, parser.BinaryExpr) and str(node.op) in (*COMPARISONS, "and", "or", "unless"):
        yield from _watched(node.lhs)
        yield from _watched(node.rhs)
    elif number(node) is None:
        yield node.prettify()


def matched(text: str, label: str) -> set[str]:
    """Values to which the selectors of an expression compare a label by ``=``."""
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


def names(node: Any) -> Iterator[str]:
    """Names of the series that a parsed expression selects."""
    return (selector.name or "" for selector in _selectors(node))


def number(node: Any) -> float | None:
    """The value of a constant expression; ``None`` for others."""
    if isinstance(node, parser.NumberLiteral):
        return float(node.val)
    if isinstance(node, parser.ParenExpr):
        return number(node.expr)
    if isinstance(node, parser.BinaryExpr) and str(node.op) == "*":
        left, right = number(node.lhs), number(node.rhs)
        return None if left is None or right is None else left * right
    return None
