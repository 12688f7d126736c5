"""Spares pinned items a filter that infers what the user wants."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Filter


class UnlessPinned:
    """Applies a filter to the candidates that are not pinned: a pin is a decision, and the filter a guess.

    Args:
        filter_: the filter.
    """

    def __init__(self, filter_: Filter) -> None:
        self._filter = filter_
        self.name = filter_.name
        self.relaxable = filter_.relaxable

    def keep(self, query: Query, candidates: Candidates) -> NDArray[np.bool_] | None:
        """True where the filter keeps the candidate or a rule pins it."""
        kept = self._filter.keep(query, candidates)
        if kept is not None and query.rules is not None and query.rules.pins:
            kept |= np.isin(candidates.items, list(query.rules.pins))
        return kept

    def reasons(self, query: Query, candidates: Candidates) -> list[str]:
        """The filter's."""
        return self._filter.reasons(query, candidates)
