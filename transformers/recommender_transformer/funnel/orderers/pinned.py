"""Pins: items that the rules or the request put at positions of the list."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Orderer
from winnow.ranking.pins import with_pins


class Pinned:
    """Puts the pinned candidates at their positions; the orderer within orders the others into the rest of the list.

    A pinned item is where it is whatever is drawn: its propensity is 1. Its only source is ``pinned``, because no other
    one made it appear.

    Args:
        orderer: orders the others.
    """

    def __init__(self, orderer: Orderer) -> None:
        self._orderer = orderer
        self.name = orderer.name

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates, pinned ones among them."""
        rules = query.rules
        if rules is None or not rules.pins:
            return self._orderer.order(query, candidates)
        places = [rules.pins.get(item, -1) for item in candidates.items.tolist()]
        rules.placed = {
            item: place
            for item, place in zip(candidates.items.tolist(), places, strict=True)
            if 0 <= place < query.request.k
        }
        pinned = np.flatnonzero([item in rules.placed for item in candidates.items.tolist()])
        others = np.delete(np.arange(len(candidates)), pinned)
        rest = candidates.take(others)
        order = others[self._orderer.order(query, rest)[: query.slots]]
        candidates.propensity[others] = rest.propensity
        candidates.propensity[pinned] = 1.0
        other_sources = np.array([name != "pinned" for name in query.sources.columns], np.bool_)
        candidates.scores[np.ix_(pinned, np.flatnonzero(other_sources))] = np.nan
        at = {places[position]: position for position in pinned.tolist()}
        return np.array(with_pins(order.tolist(), at), np.intp)
