"""Reads what a request asks for: checks its items and event types against the release."""

import time
from collections.abc import Sequence

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.forms.asked import PLAIN, Asked, FunnelName
from winnow.request import InvalidRequest, RecommendRequest, SessionEvent, quote
from winnow.schema import FeatureSchema
from winnow.store.events import Event, event_codes


class FormReader:
    """Reads requests for one release.

    Args:
        catalog: the items.
        schema: gives the event types.
    """

    def __init__(self, catalog: Catalog, schema: FeatureSchema) -> None:
        self._catalog = catalog
        self._types = schema.events
        self._codes = event_codes(schema.events)
        self._default = schema.plain_event

    def read(self, request: RecommendRequest, where: str) -> Asked:
        """What a request asks for.

        Args:
            request: the validated request.
            where: path of the request in its call, for the message.

        Raises:
            InvalidRequest: the item of ``like`` is not in the catalog, or an event type is not declared.
        """
        if request.items is None and request.like is None and request.rank is None and request.list is None:
            return PLAIN
        session, unknown = (None, ()) if request.items is None else self._session(request.items, f"{where}.items")
        own = np.empty(0, np.int32)
        if request.rank is not None:
            found = self._catalog.find([item_id.encode() for item_id in request.rank])
            unknown = tuple(item_id for item_id, item in zip(request.rank, found.tolist(), strict=True) if not item)
            own = found[found > 0]
        item = 0 if request.like is None else self._item(request.like, f"{where}.like")
        return Asked(request.form, _funnel(request), item, own, session, unknown)

    def _item(self, item_id: str, where: str) -> int:
        [item] = self._catalog.find([item_id.encode()]).tolist()
        if not item:
            raise InvalidRequest(f"{where}: must be an item of the catalog, got {quote(item_id)}")
        return int(item)

    def _session(self, events: Sequence[SessionEvent], where: str) -> tuple[list[Event], tuple[str, ...]]:
        """The events of known items, and the ids of the others: a session may hold what was deleted meanwhile."""
        for position, event in enumerate(events):
            if event.event is not None and event.event not in self._codes:
                raise InvalidRequest(
                    f"{where}[{position}].event: must be one of {', '.join(self._types)}, got {quote(event.event)}"
                )
        now = time.time_ns() // 1_000_000
        moments, moment = [], now
        for event in reversed(events):
            moment = moment if event.timestamp is None else event.timestamp
            moments.append(moment)
        found = self._catalog.find([event.item_id.encode() for event in events]).tolist()
        rows = list(zip(events, found, reversed(moments), strict=True))
        known = [
            Event("", event.item_id, self._codes[event.event or self._default], at, now, event.amount)
            for event, item, at in rows
            if item
        ]
        return known, tuple(dict.fromkeys(event.item_id for event, item, _ in rows if not item))


def _funnel(request: RecommendRequest) -> FunnelName:
    if request.list is not None:
        return request.list
    if request.rank is not None:
        return "rank"
    if request.like is None:
        return "plain"
    if request.relation == "complementary":
        return "complementary"
    return "similar" if request.user_id is None and request.items is None else "similar_to_taste"
