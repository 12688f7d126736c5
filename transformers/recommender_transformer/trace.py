"""What happened to one request: always measured, shown on ``debug: true``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.candidates import Candidates


class Step(NamedTuple):
    """One component's turn: milliseconds, and how many candidates it was given and gave on."""

    stage: str
    component: str
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

    def explain(self, item_ids: list[str], sources: list[str], final: NDArray[np.int32]) -> dict[str, object]:
        """The whole trace as JSON-ready values.

        Args:
            item_ids: id of every item, by index.
            sources: source names, in the order of the candidates' score columns.
            final: item indices of the answer, in order.
        """
        removed_by = {item: name for name, parts in self.removed.items() for part in parts for item in part.tolist()}
        ranks = {} if self.ranked is None else {item: rank for rank, item in enumerate(self.ranked.items.tolist())}
        positions = {item: position for position, item in enumerate(final.tolist())}
        candidates: list[dict[str, object]] = []
        for batch in self.merged:
            for item, scores in zip(batch.items.tolist(), batch.scores.tolist(), strict=True):
                told: dict[str, object] = {
                    "item_id": item_ids[item],
                    "sources": {name: score for name, score in zip(sources, scores, strict=True) if score == score},
                    "retrieved": len(candidates),
                }
                if item in removed_by:
                    told["removed_by"] = removed_by[item]
                if self.ranked is not None and item in ranks:
                    rank = ranks[item]
                    click, conversion = self.ranked.probabilities[rank].tolist()
                    told |= {
                        "click": click if click == click else None,
                        "conversion": conversion if conversion == conversion else None,
                        "score": float(self.ranked.score[rank]),
                        "ranked": rank,
                    }
                if item in positions:
                    told["position"] = positions[item]
                candidates.append(told)
        return {
            "stages": [
                {"stage": s.stage, "component": s.component, "ms": round(s.ms, 3), "in": s.given, "out": s.kept}
                for s in self.steps
            ],
            "sources": {s.component: s.kept for s in self.steps if s.stage == "sources"},
            "removed": {name: sum(map(len, parts)) for name, parts in self.removed.items()},
            "candidates": candidates,
        }
