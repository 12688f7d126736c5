"""Renders what the business rules did to a query, for traces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.business.query_rules import QueryRules


def explained_rules(
    rules: QueryRules | None, catalog: Catalog, k: int, removed: Mapping[str, Sequence[NDArray[np.int32]]]
) -> dict[str, Any] | None:
    """The query's rules and what each did; `None` for a query without any.

    ``version`` is that of the live rules, 0 where those of the release apply.

    Args:
        rules: the rules after the last stage.
        catalog: gives the ids of items.
        k: length of the list.
        removed: component -> the items that it removed.
    """
    if rules is None:
        return None
    counts = np.zeros(len(rules.boosts), np.intp) if rules.matched is None else rules.matched.sum(axis=1)
    return {
        "version": rules.version,
        "filters": list(rules.filters),
        "boosts": [
            {"name": one.name, "where": one.boost.where, "factor": one.boost.factor, "candidates": count}
            for one, count in zip(rules.boosts, counts.tolist(), strict=True)
        ],
        "pins": [
            *(_pin(rules, catalog.item_id(item), item, k, removed) for item in rules.pins),
            *({"item_id": item_id, "reason": "not in the catalog"} for item_id in rules.absent),
        ],
        "caps": dict(rules.caps),
        "relaxed": [catalog.item_id(item) for item in rules.relaxed],
        "fatigue": None if rules.fatigue is None else rules.fatigue.model_dump(),
    }


def rules_by_item(rules: QueryRules | None) -> dict[int, dict[str, Any]]:
    """Item index -> the factors of a candidate, and the values of which the list had enough without it."""
    if rules is None:
        return {}
    found: dict[int, dict[str, Any]] = {}
    for place, item in enumerate(rules.scored.tolist()):
        factors = {
            one.name: one.boost.factor
            for one, matched in zip(rules.boosts, () if rules.matched is None else rules.matched, strict=True)
            if matched[place]
        }
        if factors:
            found.setdefault(item, {})["boosts"] = factors
        if rules.tired is not None and rules.tired[place] < 1:
            found.setdefault(item, {})["fatigue"] = float(rules.tired[place])
    for item, groups in rules.capped.items():
        found.setdefault(item, {})["capped"] = [f"{column}: {value}" for column, value in groups]
    return found


def _pin(
    rules: QueryRules, item_id: str, item: int, k: int, removed: Mapping[str, Sequence[NDArray[np.int32]]]
) -> dict[str, Any]:
    position = rules.pins[item]
    described: dict[str, Any] = {"item_id": item_id, "position": position}
    if item in rules.placed:
        return described
    if position >= k:
        return described | {"reason": "beyond the list"}
    removals = (name for name, parts in removed.items() if any(item in part for part in parts))
    return described | {"reason": f"removed by {next(removals, 'the form of the request')}"}
