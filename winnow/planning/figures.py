"""A figure of a plan, with its derivation."""

from dataclasses import dataclass

GIB = 2**30
"""Bytes of a GiB."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: what it is.
        value: the number.
        unit: of the number: ``GiB``, ``vCPU``, ``$/month``; empty for a count.
        because: the calculation, with its inputs.
        units: names of the per-unit figures that it is derived from (:class:`winnow.planning.units.Units`).
    """

    name: str
    value: float
    unit: str
    because: str
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """A limit of the design that the workload exceeds.

    Attributes:
        limit: what is exceeded, with both numbers.
        remedy: what to do.
    """

    limit: str
    remedy: str


def shown(value: float) -> str:
    """A number for a derivation: thousands separated, three significant digits below 100."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
