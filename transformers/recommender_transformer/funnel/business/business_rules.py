"""The business rules of a request: those in force, and its own, which win where both speak of the same thing."""

from collections.abc import Mapping

from cachetools import LRUCache

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.followed.live_rules import RulesInForce
from recommender_transformer.funnel.business.query_rules import QueryRules
from winnow.filtering.filter import Filter, parse
from winnow.ranking.caps import Quotas
from winnow.request import InvalidRequest, Pin, RecommendRequest, quote
from winnow.rules.compiled import CompiledBoost, CompiledRules, cap_fault

_MOST_NAMES = 20
_HELD = 512
"""Filters of boosts that are kept; reading one takes a millisecond or more."""


class BusinessRules:
    """Combines the rules in force with a request's.

    The request's count where both have a boost with the same filter, a pin of the same item or to the same position, or
    a cap of the same column.

    Args:
        in_force: the rules in force.
        catalog: gives the indices of items and their columns.
    """

    def __init__(self, in_force: RulesInForce, catalog: Catalog) -> None:
        self._in_force = in_force
        self._catalog = catalog
        self._parsed: LRUCache[str, Filter] = LRUCache(_HELD)

    @property
    def degraded(self) -> str:
        """Why the rules in force may not be the right ones; empty where they are."""
        return self._in_force.now.degraded

    @property
    def serial(self) -> int:
        """Another number for other rules in force, in this process."""
        return self._in_force.now.serial

    def of(self, request: RecommendRequest, where: str, first: int = 0) -> QueryRules | None:
        """The rules of a request; `None` where none applies.

        Args:
            request: the validated request.
            where: path of the request in its call, for messages.
            first: position of the first item of the page that is asked for; pins count from the first page.

        Raises:
            InvalidRequest: the request names a filter that does not exist, a column that cannot be capped or a position
                beyond its list, or the filter of a boost is wrong; the message names the field.
        """
        now = self._in_force.now
        named = request.filters.named
        own = named or request.boosts or request.pins or request.caps
        if not own and not now.compiled.apply_to_all:
            return None
        compiled, rules = now.compiled, now.compiled.rules
        caps = {**rules.caps, **self._caps(request, where)}
        pins = [pin for pin in self._pins(request, rules.pins, where) if pin.position >= first]
        found = self._catalog.find([pin.item_id.encode() for pin in pins]).tolist() if pins else []
        return QueryRules(
            version=now.version,
            filters=self._filters(request, compiled, where),
            boosts=self._boosts(request, compiled, where),
            pins={item: pin.position - first for item, pin in zip(found, pins, strict=True) if item},
            absent=tuple(pin.item_id for item, pin in zip(found, pins, strict=True) if not item),
            caps=caps,
            fatigue=rules.fatigue if request.user_id is not None else None,
            quotas=Quotas(caps, self._value) if caps else None,
        )

    def _filters(self, request: RecommendRequest, compiled: CompiledRules, where: str) -> Mapping[str, Filter]:
        for place, name in enumerate(request.filters.named):
            if name not in compiled.filters:
                known = list(compiled.filters)
                more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
                names = ", ".join(known[:_MOST_NAMES]) + more if known else "there are none"
                expected = f"must be a filter of the rules in force ({names})"
                raise InvalidRequest(f"{where}.filters.named[{place}]: {expected}, got {quote(name)}")
        return {name: compiled.filters[name] for name in (*compiled.rules.always, *request.filters.named)}

    def _boosts(self, request: RecommendRequest, compiled: CompiledRules, where: str) -> tuple[CompiledBoost, ...]:
        own = []
        for place, boost in enumerate(request.boosts or ()):
            found = self._parsed.get(boost.where)
            if found is None:
                found = parse(boost.where, self._catalog.columns, f"{where}.boosts[{place}].where")
                self._parsed[boost.where] = found
            own.append(CompiledBoost(boost, found))
        replaced = {_plain(boost.boost.where) for boost in own}
        return (*(one for one in compiled.boosts if _plain(one.boost.where) not in replaced), *own)

    def _pins(self, request: RecommendRequest, in_force: tuple[Pin, ...], where: str) -> list[Pin]:
        own = request.pins or []
        for place, pin in enumerate(own):
            if pin.position >= request.k:
                raise InvalidRequest(
                    f"{where}.pins[{place}].position: must be below k, which is {request.k}, got {pin.position}"
                )
        taken = {pin.item_id for pin in own} | {pin.position for pin in own}
        return [*own, *(pin for pin in in_force if pin.item_id not in taken and pin.position not in taken)]

    def _caps(self, request: RecommendRequest, where: str) -> Mapping[str, int]:
        for name in request.caps or ():
            if fault := cap_fault(name, self._catalog.columns.kinds):
                raise InvalidRequest(f"{where}.caps: {quote(name)} {fault}")
        return request.caps or {}

    def _value(self, column: str, item: int) -> str | list[str] | None:
        value: str | list[str] | None = self._catalog.columns[column].value(item)
        return value


def _plain(where: str) -> str:
    """The text of a filter without what makes no difference to a reader."""
    return " ".join(where.split())
