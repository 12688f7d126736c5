"""Converts the shown candidates to the items of an answer."""

from collections.abc import Sequence

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.explanation import UNKNOWN, removals
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Filter
from winnow.forms.answer import LeftOut
from winnow.ranking.objectives import CLICK, CONVERSION
from winnow.request import RecommendedItem


def recommended(shown: Candidates, catalog: Catalog, sources: Sequence[str]) -> list[RecommendedItem]:
    """The items of an answer, in the order of ``shown``.

    Args:
        shown: the candidates to show.
        catalog: gives item ids, and the titles of new items; clients do not know those from the release.
        sources: names of the columns of ``shown.scores``.
    """
    proposed = ~np.isnan(shown.scores)
    items = [
        RecommendedItem(
            item_id=item_id,
            score=score,
            click=None if click != click else click,
            conversion=None if conversion != conversion else conversion,
            value=None if value != value else value,
            sources=[source for source, proposes in zip(sources, by, strict=True) if proposes],
            position=position,
        )
        for position, (item_id, score, click, conversion, value, by) in enumerate(
            zip(
                catalog.item_ids(shown.items),
                shown.score.tolist(),
                shown.probabilities[:, CLICK].tolist(),
                shown.probabilities[:, CONVERSION].tolist(),
                shown.value.tolist(),
                proposed.tolist(),
                strict=True,
            )
        )
    ]
    for position in np.flatnonzero(shown.items > catalog.size).tolist():
        items[position]["title"] = catalog.titles[int(shown.items[position])]
    return items


def left_out(query: Query, filters: Sequence[Filter], catalog: Catalog) -> list[LeftOut]:
    """The items of a caller's own list that cannot be shown, in the caller's order: unknown ids first.

    Args:
        query: the query after its last stage.
        filters: give the reasons of their removals.
        catalog: gives item ids.
    """
    missing = [
        LeftOut(item_id=item_id, removed_by=UNKNOWN, reason="not an item of the catalog")
        for item_id in query.asked.unknown
    ]
    if not query.trace.removed:
        return missing
    removed = removals(query, query.trace.merged[0], filters)
    return missing + [
        LeftOut(item_id=catalog.item_id(item), removed_by=removed[item]["removed_by"], reason=removed[item]["reason"])
        for item in query.asked.own.tolist()
        if item in removed
    ]
