"""What happened to one request. Recorded for every request; ``funnel.explanation`` renders it for ``debug: true``."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates


class Step(NamedTuple):
    """One run of a component: its duration in milliseconds, and how many candidates it received and kept.

    ``started`` is a value of ``time.perf_counter()``.
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
        steps: runs of components, in the order in which they ended.
        degraded: ``component: reason`` for each fallback that was used and each filter that could not be read.
        merged: every batch of candidates before filtering, in merge order.
        removed: component name -> item indices that it removed.
        ranked: the candidates in descending order of score; `None` until they are scored.
    """

    steps: list[Step] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    merged: list[Candidates] = field(default_factory=list)
    removed: dict[str, list[NDArray[np.int32]]] = field(default_factory=dict)
    ranked: Candidates | None = None

    def end_step(self, stage: str, component: str, started: float, given: int, kept: int) -> None:
        """Record a component's run that ends now."""
        self.steps.append(Step(stage, component, started, (perf_counter() - started) * 1000, given, kept))

    def remove(self, component: str, items: NDArray[np.int32]) -> None:
        """Record the items that a component removed."""
        if len(items):
            self.removed.setdefault(component, []).append(items)
