"""What the traces of a funnel's answers tell: where it loses the held-out items, and how true its probabilities are."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from winnow.evaluation.funnel import Trace
from winnow.evaluation.record import CLICK, Bin, Loss
from winnow.ranking.metrics import SHOWN

_BINS = 10
_EXPECTED = 5.0
"""Events that the predictions of a bin expect at least: with fewer, its share of events is noise."""


@dataclass
class Traced:
    """Accumulates traces.

    Args:
        events: the event types.

    Attributes:
        users: number of users whose trace counts for the losses.
    """

    events: Sequence[str]
    users: int = 0
    _filters: list[str] = field(default_factory=list)
    _lost: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _predictions: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, trace: Trace, item_id: str, outcome: frozenset[str], counts: bool) -> None:
        """Add the trace of a user's answer.

        Args:
            trace: the trace.
            item_id: the user's held-out item.
            outcome: the event types with which the user acted on it.
            counts: whether the outcome is one of the objective, whose losses are counted.
        """
        for step in trace["stages"]:
            if step["stage"] == "filters" and step["component"] not in self._filters:
                self._filters.append(step["component"])
        found = None
        for candidate in trace["candidates"]:
            taken = candidate["item_id"] == item_id
            found = candidate if taken else found
            if candidate.get("click") is not None:
                self._predictions[CLICK].append((candidate["click"], float(taken)))
        if found is not None and found.get("types") is not None:
            for event in self.events:
                self._predictions[event].append((found["types"][event], float(event in outcome)))
        if not counts:
            return
        self.users += 1
        if found is None:
            self._lost["sources"] += 1
        elif "removed_by" in found:
            self._lost[found["removed_by"]] += 1
        elif found.get("position", SHOWN) >= SHOWN:
            self._lost["ranker" if found.get("ranked", SHOWN) >= SHOWN else "orderer"] += 1

    def losses(self) -> list[Loss]:
        """The stages in their order; none without users."""
        if not self.users:
            return []
        others = [name for name in self._lost if name not in ("sources", *self._filters, "ranker", "orderer")]
        reached, losses = self.users, []
        for stage in ("sources", *others, *self._filters, "ranker", "orderer"):
            losses.append(Loss(stage=stage, reached=reached, dropped=self._lost[stage]))
            reached -= self._lost[stage]
        return losses

    def calibration(self) -> dict[str, list[Bin]]:
        """Event type, and ``click`` first -> bins; without types that no prediction was made of."""
        return {name: bins(self._predictions[name]) for name in (CLICK, *self.events) if self._predictions[name]}


def bins(pairs: Iterable[tuple[float, float]]) -> list[Bin]:
    """Bins of ascending predictions, each with about the same number of expected events.

    Bins with equally many predictions would put nearly all events of a rare type into the last one.

    Args:
        pairs: prediction, and 1.0 where it happened.
    """
    predicted, happened = np.array(list(pairs)).T
    # Equal predictions are in one bin: nothing orders them.
    _, which = np.unique(predicted, return_inverse=True)
    mass = np.bincount(which, weights=predicted)
    expected = np.cumsum(mass)
    count = int(np.clip((expected[-1] + 1e-9) / _EXPECTED, 1, _BINS))
    # A prediction belongs where the middle of its share lies.
    middle = (expected - mass / 2) / max(expected[-1], 1e-12)
    number = np.minimum((middle * count).astype(int), count - 1)[which]
    return [
        Bin(
            predicted=round(float(predicted[number == each].mean()), 6),
            observed=round(float(happened[number == each].mean()), 6),
            count=int((number == each).sum()),
        )
        for each in np.unique(number).tolist()
    ]
