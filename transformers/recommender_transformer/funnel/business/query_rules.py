"""The business rules that apply to one query, and what they did."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from winnow.filtering.filter import Filter
from winnow.ranking.caps import ColumnValue, Quotas
from winnow.rules.compiled import CompiledBoost
from winnow.settings.business_rules import Fatigue


@dataclass
class QueryRules:
    """The rules of the query's request and those in force; the stages write what they did.

    Attributes:
        version: of the live rules; 0 where those of the release apply.
        filters: name -> filter, of those that apply.
        boosts: the boosts.
        pins: item index -> position.
        absent: ids of pinned items that the catalog lacks.
        caps: column -> items of one value.
        fatigue: the rule of fatigue; `None` for a query without a user, too.
        quotas: of the query's list; `None` without caps.
        matched: which items each boost matched, bool [boosts, n], set by the scorer.
        tired: float64 [n], the factor of fatigue of the same items.
        scored: int32 [n], these items.
        placed: pinned item -> its position, of those that passed the filters.
        capped: candidate that was left out -> the values of which there were enough, for a trace.
        relaxed: items that exceed a cap, because there were too few others.
    """

    version: int = 0
    filters: Mapping[str, Filter] = field(default_factory=dict)
    boosts: tuple[CompiledBoost, ...] = ()
    pins: Mapping[int, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    caps: Mapping[str, int] = field(default_factory=dict)
    fatigue: Fatigue | None = None
    quotas: Quotas | None = None
    matched: NDArray[np.bool_] | None = None
    tired: NDArray[np.float64] | None = None
    scored: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    placed: dict[int, int] = field(default_factory=dict)
    capped: dict[int, list[ColumnValue]] = field(default_factory=dict)
    relaxed: list[int] = field(default_factory=list)
