"""The weights of the event types, by which candidates are ordered: the release's, the live ones, the request's."""

import logging
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore
from winnow.ranking.objectives import weights_of
from winnow.request import InvalidRequest, RecommendRequest, quote
from winnow.schema import FeatureSchema
from winnow.store.objectives import decode

log = logging.getLogger(__name__)

_TTL_S = 5.0
"""Seconds for which the live weights are cached."""


class Objectives:
    """The weights in force; later ones win: the values of the release, the live weights in Redis, the request's.

    Args:
        schema: gives the event types and their values.
        store: reads the live weights.

    Attributes:
        types: the event types, in the order of the weights.
    """

    def __init__(self, schema: FeatureSchema, store: OnlineStore) -> None:
        self.types = schema.events
        self._values = schema.event_values
        self._store = store
        self._live: Mapping[str, float] = {}
        self._in_force = weights_of(self.types, self._values)
        self._malformed: list[str] = []
        self._expires = 0.0

    @property
    def expired(self) -> bool:
        """Whether the live weights were read more than ``_TTL_S`` seconds ago."""
        return time.monotonic() > self._expires

    async def refresh(self) -> None:
        """Read the live weights; until they are read, the last ones stay in force.

        Raises:
            RedisError: Redis does not answer.
        """
        self._live, malformed = decode(await self._store.objectives(), self.types)
        self._in_force = weights_of(self.types, self._values, self._live)
        self._expires = time.monotonic() + _TTL_S
        if malformed and malformed != self._malformed:
            log.warning(
                "entries of %s are ignored, because each must be one of %s with a weight: %s",
                self._store.keys.objectives,
                ", ".join(self.types),
                "; ".join(malformed[:3]),
            )
        self._malformed = malformed

    def check(self, request: RecommendRequest, where: str) -> None:
        """Check that the request names event types of the release only.

        Args:
            request: the validated request.
            where: path of the request in its call, for the message.

        Raises:
            InvalidRequest: a type is not declared; the message names the field and the declared types.
        """
        for name in request.objectives or ():
            if name not in self.types:
                raise InvalidRequest(
                    f"{where}.objectives: must have event types of the release as keys ({', '.join(self.types)}), "
                    f"got {quote(name)}"
                )

    def weights(self, request: RecommendRequest) -> NDArray[np.float64]:
        """float64 [E], the weights in force for a request."""
        if not request.objectives:
            return self._in_force.copy()
        return weights_of(self.types, self._values, self._live, request.objectives)
