"""A plan as one JSON document."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from winnow.planning import rules
from winnow.planning.capacity import Plan
from winnow.planning.prices import Prices
from winnow.planning.units import Curve, Units


def document(plan: Plan, units: Units, prices: Prices) -> dict[str, Any]:
    """The plan with its inputs, rules, per-unit figures and prices."""
    return {
        "workload": asdict(plan.workload),
        "cells": plan.cells,
        "parts_of_the_catalog": plan.parts,
        "cell": asdict(plan.cell),
        "limits": [asdict(limit) for limit in plan.limits],
        "figures": [asdict(figure) for figure in plan.figures],
        "search": [
            {
                "index": form.kind,
                "name": form.name,
                "search_ms": form.search_ms,
                "memory": form.memory,
                "monthly": None if form.refused else form.hourly * prices.hours,
                "refused": form.refused,
                "chosen": form is plan.form,
            }
            for form in plan.forms
        ],
        "store": asdict(plan.store),
        "predictor": asdict(plan.predictor),
        "transformers": asdict(plan.transformers),
        "costs": [asdict(cost) for cost in plan.costs],
        "monthly": plan.monthly,
        "prices": {"region": prices.region, "as_of": prices.as_of, "note": prices.note},
        "rules": {name: {"value": rule.value, "reason": rule.reason} for name, rule in rules.ALL.items()},
        "units": {name: getattr(units, name).model_dump() for name in used(plan)},
    }


def used(plan: Plan) -> list[str]:
    """Names of the per-unit figures that the plan is derived from, in the order of their first use."""
    return list(dict.fromkeys(name for figure in plan.figures for name in figure.units))


def origins(units: Units, names: Iterable[str], history: float) -> list[tuple[str, str, str]]:
    """Name, figure and origin of per-unit figures; of a curve the figure at ``history`` is shown.

    Args:
        units: the figures.
        names: of the figures to describe.
        history: events of a user.
    """
    found = []
    for name in names:
        unit = getattr(units, name)
        is_curve = isinstance(unit, Curve)
        value = unit.at(history) if is_curve and "user" in name else unit.points[0][1] if is_curve else unit.value
        machine = f" ({unit.machine})" if unit.machine else ""
        found.append((name, f"{value:,.4g} {unit.unit}", f"{unit.kind}: {unit.how}{machine}"))
    return found
