"""Sets the weights by which the query's candidates are ordered, with the live ones from Redis."""

from recommender_transformer.funnel.objectives import Objectives
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Result


class ObjectivesHydrator:
    """Reads the live weights, at most every few seconds.

    Args:
        objectives: the weights in force.
    """

    name = "objectives"

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def hydrate(self, query: Query) -> Result[None]:
        """Read the live weights if the last ones have expired, then set the query's."""
        if self._objectives.expired:
            return self._read(query)
        self.fallback(query)
        return None

    def fallback(self, query: Query) -> None:
        """The last live weights that were read; the release's if none were."""
        query.weights[:] = self._objectives.weights(query.request)

    async def _read(self, query: Query) -> None:
        await self._objectives.refresh()
        self.fallback(query)
