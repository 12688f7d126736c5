"""Caps: at most so many items of one value of a column in the answer."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Orderer


class Capped:
    """Gives the orderer within the quotas of a query with caps, and fills the list where they leave it too short.

    Pinned items count. Where the candidates cannot fill the list within the caps, those that exceed them least are
    added: a list that is longer than its caps allow is better than a gap.

    Args:
        orderer: orders the candidates, and takes them from the quotas of the query.
    """

    def __init__(self, orderer: Orderer) -> None:
        self._orderer = orderer
        self.name = orderer.name

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates."""
        rules = query.rules
        if rules is None or rules.quotas is None:
            return self._orderer.order(query, candidates)
        pinned = list(rules.placed)
        rules.quotas.restart(pinned)
        chosen = self._orderer.order(query, candidates)[: query.slots]
        rules.quotas.restart([*pinned, *candidates.items[chosen].tolist()])
        rules.capped = (
            {item: full for item in candidates.items.tolist() if (full := rules.quotas.full(item))}
            if query.request.debug
            else {}
        )
        for item in candidates.items[chosen].tolist():
            rules.capped.pop(item, None)
        missing = min(query.slots, len(candidates)) - len(chosen)
        if not missing:
            return chosen
        others = np.delete(np.arange(len(candidates)), chosen)
        if query.repeats == "demote":
            others = others[np.argsort(candidates.seen[others], kind="stable")]
        added = others[rules.quotas.least_excess(candidates.items[others], missing)]
        rules.relaxed = candidates.items[added].tolist()
        for item in rules.relaxed:
            rules.quotas.take(item)
        return np.concatenate([chosen, added])
