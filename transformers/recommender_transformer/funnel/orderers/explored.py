"""Exploration: a small share of the lists is drawn at random, so that every slot has a propensity that is known.

A query that was drawn to be explored (``Runner.admit``) shows a uniformly random arrangement of the best ``2 k``
candidates; every other query shows the list of the orderer within. So an item of this pool has the same probability at
every position of an explored list, and the propensity of a slot is exact, at the cost of one draw without replacement:

    ``share / pool``, and for the item that the orderer within puts there ``1 - share`` more.

Under caps the pool itself keeps to them, so that every arrangement of it does: a draw that had to be repeated, or
mended, would show items that share a value with others less often than the rest. Pinned items take no part.

Plackett-Luce samples have no closed form for the positions after the first, and single swaps would show an item at
another position ``k`` times as seldom (docs/decisions/0057).
"""

from random import sample

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Orderer

MAX_EXPLORE = 0.1
"""Largest share of the lists: more would cost users more than the log is worth."""

POOL = 2
"""Candidates that an explored list is drawn from, per item of the answer."""


class Explored:
    """Draws the list of an explored query, and sets the propensities of all queries that could have been explored.

    Where the query demotes repeats, the unseen and the seen candidates are drawn apart, as they are ordered.

    Args:
        orderer: orders the candidates; where the query demotes repeats, seen ones last.
    """

    def __init__(self, orderer: Orderer) -> None:
        self._orderer = orderer
        self.name = orderer.name

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates; multiplies their propensity by that of their places."""
        chosen = self._orderer.order(query, candidates)[: query.slots]
        share = query.exploration.share
        if not share:
            return chosen
        apart = (~candidates.seen, candidates.seen)
        shown = chosen.copy()
        for part in apart if query.repeats == "demote" else (np.ones(len(candidates), np.bool_),):
            places = np.flatnonzero(part[chosen])
            if not len(places):
                continue
            pool = _pool(query, candidates, np.flatnonzero(part), chosen[places])
            if query.exploration.drawn:
                shown[places] = sample(pool.tolist(), len(places))
            kept = np.where(shown[places] == chosen[places], 1.0 - share, 0.0)
            candidates.propensity[shown[places]] *= kept + share / len(pool)
        return shown


def _pool(query: Query, candidates: Candidates, among: NDArray[np.intp], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """The chosen candidates and the best others ``among`` them: ``POOL`` times ``k``, or all where there are fewer."""
    others, missing = among[~np.isin(among, chosen)], POOL * query.slots - len(chosen)
    if query.rules is not None and query.rules.quotas is not None:
        # The quotas have the chosen items of both parts.
        others = others[query.rules.quotas.fit(candidates.items[others], missing)]
    return np.concatenate([chosen, others[:missing]])
