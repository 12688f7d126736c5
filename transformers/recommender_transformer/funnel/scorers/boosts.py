"""Multiplies the worth of candidates by the factors of the rules: boosts, demotions and fatigue."""

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.ranking.boosts import boosted, fatigue_factors


class Boosts:
    """The last scorer: it changes the score of whichever one came before, and leaves ``value`` as it is.

    Args:
        catalog: gives the columns of items, and the indices of those that were shown.
    """

    name = "boosts"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """Where a boost applies, or the user was shown items that may tire."""
        rules = query.rules
        return rules is not None and bool(rules.boosts or (rules.fatigue and query.user.state.shown is not None))

    def score(self, query: Query, candidates: Candidates) -> None:
        """Change the scores by the factors."""
        rules = query.rules
        assert rules is not None
        items = candidates.items
        rules.scored = items
        rules.matched = np.zeros((len(rules.boosts), len(items)), np.bool_)
        log_factors = np.zeros(len(items))
        for place, boost in enumerate(rules.boosts):
            rules.matched[place] = boost.filter.mask(self._catalog.columns, items)
            log_factors += boost.log_factor * rules.matched[place]
        shown = query.user.state.shown
        if rules.fatigue is not None and shown is not None:
            indices = self._catalog.find(shown.item_ids)
            counts = dict(zip(indices.tolist(), shown.at(query.now_ms, rules.fatigue.half_life_hours), strict=True))
            of_candidates = np.array([counts.get(item, 0.0) for item in items.tolist()], np.float64)
            rules.tired = fatigue_factors(of_candidates, rules.fatigue)
            log_factors += np.log(rules.tired)
        # The scorers of a query or an item blend the ranker's score, the logarithm of the value, with something else.
        is_blended = query.sources.content_vector is not None or bool(query.asked.item)
        of_value = bool(len(items)) and not np.isnan(candidates.value[0])
        candidates.score = boosted(candidates.score, log_factors, of_value and not is_blended)

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The scores as they are."""
