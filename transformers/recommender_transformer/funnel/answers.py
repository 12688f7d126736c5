"""From the chosen candidates to the items of an answer."""

from collections.abc import Sequence

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from winnow.request import RecommendedItem


def recommended(chosen: Candidates, catalog: Catalog, sources: Sequence[str]) -> list[RecommendedItem]:
    """The chosen candidates, in their order, as the caller sees them.

    Args:
        chosen: what is shown.
        catalog: names the items; only fresh ones are given with their titles.
        sources: names of the candidates' score columns.
    """
    named = ~np.isnan(chosen.scores)
    items = [
        RecommendedItem(
            item_id=catalog.item_ids[item],
            score=score,
            click=None if click != click else click,
            conversion=None if conversion != conversion else conversion,
            sources=[source for source, there in zip(sources, by, strict=True) if there],
            position=position,
        )
        for position, (item, score, (click, conversion), by) in enumerate(
            zip(
                chosen.items.tolist(),
                chosen.score.tolist(),
                chosen.probabilities.tolist(),
                named.tolist(),
                strict=True,
            )
        )
    ]
    for position in np.flatnonzero(chosen.items > catalog.size).tolist():
        items[position]["title"] = catalog.titles[int(chosen.items[position])]
    return items
