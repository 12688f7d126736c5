"""What happened to one request: always measured; :mod:`recommender_transformer.funnel.explanation` tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates


class Step(NamedTuple):
    """One component's turn: when it began, milliseconds, and how many candidates it was given and gave on.

    ``started`` is ``time.perf_counter()``.
    """

    stage: str
    component: str
    started: float
    ms: float
    given: int
    kept: int


@dataclass
class Trace:
    """The record of one request.

    Attributes:
        steps: the components' turns, in the order in which they ended.
        degraded: the parts the funnel had to do without, and why.
        merged: every candidate that any source named, in merge order.
        removed: filter name -> item indices it took out.
        ranked: item indices in the ranker's order.
    """

    steps: list[Step] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    merged: list[Candidates] = field(default_factory=list)
    removed: dict[str, list[NDArray[np.int32]]] = field(default_factory=dict)
    ranked: Candidates | None = None

    def remove(self, component: str, items: NDArray[np.int32]) -> None:
        """Note what a filter took out."""
        if len(items):
            self.removed.setdefault(component, []).append(items)
