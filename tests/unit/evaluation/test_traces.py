"""Losses and calibration of traces, on cases worked out by hand."""

from typing import Any

import numpy as np
import pytest

from winnow.evaluation.record import CLICK, Bin, Loss
from winnow.evaluation.traces import Traced, bins

STAGES = [
    {"stage": "sources", "component": "trending"},
    {"stage": "filters", "component": "seen"},
    {"stage": "filters", "component": "unlikely"},
    {"stage": "scorers", "component": "ranker"},
]


def trace(**candidate: Any) -> dict[str, Any]:
    found = [{"item_id": "wanted", **candidate}] if candidate else []
    return {"stages": STAGES, "candidates": [*found, {"item_id": "other", "ranked": 0, "position": 0, "click": 0.2}]}


def ranked(rank: int, **more: Any) -> dict[str, Any]:
    return {"ranked": rank, "click": 0.4, "types": {"view": 0.9, "buy": 0.3}, **more}


def test_each_stage_drops_what_does_not_leave_it() -> None:
    traced = Traced(("view", "buy"))
    answers = [
        trace(),  # no source named it
        trace(removed_by="seen", reason="seen"),
        trace(**ranked(12)),  # not shown
        trace(**ranked(30, position=40)),  # shown below the first ten, as ranked
        trace(**ranked(4, position=13)),  # moved out of them by the orderer
        trace(**ranked(14, position=3)),  # moved into them
        trace(**ranked(2, position=9)),
    ]
    for answer in answers:
        traced.add(answer, "wanted", frozenset({"view"}), counts=True)
    traced.add(trace(), "wanted", frozenset({"dislike"}), counts=False)
    assert traced.losses() == [
        Loss(stage="sources", reached=7, dropped=1),
        Loss(stage="seen", reached=6, dropped=1),
        Loss(stage="unlikely", reached=5, dropped=0),
        Loss(stage="ranker", reached=5, dropped=2),
        Loss(stage="orderer", reached=3, dropped=1),
    ]
    found = traced.calibration()
    # Each of the eight traces has another candidate, five the ranked item: 8 * 0.2 + 5 * 0.4 clicks are expected.
    [low, *_] = found[CLICK]
    assert (low.predicted, low.observed, low.count) == pytest.approx((3.6 / 13, 5 / 13, 13), abs=1e-6)
    assert found["view"] == [Bin(predicted=0.9, observed=1.0, count=5)]
    assert found["buy"] == [Bin(predicted=0.3, observed=0.0, count=5)]


def test_a_release_without_a_ranker_has_losses_and_no_calibration() -> None:
    traced = Traced(("view",))
    traced.add(trace(ranked=0, position=0, click=None, types=None) | {"candidates": []}, "wanted", frozenset(), True)
    assert [loss.dropped for loss in traced.losses()] == [1, 0, 0, 0, 0]
    assert traced.calibration() == {}
    assert Traced(("view",)).losses() == []


def test_bins_expect_equally_many_events() -> None:
    predicted = np.concatenate([np.linspace(0.009, 0.011, 1000), np.linspace(0.49, 0.51, 20)])
    happened = np.arange(len(predicted)) % 4 == 0
    found = bins(zip(predicted.tolist(), happened.astype(float).tolist(), strict=True))
    # 10 events are expected of the first thousand and 10 of the last twenty: 4 bins of 5.
    assert [each.count for each in found] == pytest.approx([500, 500, 10, 10], abs=60)
    assert [each.observed for each in found] == pytest.approx([0.25] * 4, abs=0.1)


def test_equal_predictions_are_not_ordered_by_what_happened() -> None:
    assert bins([(0.5, 1.0)] * 30 + [(0.5, 0.0)] * 10) == [Bin(predicted=0.5, observed=0.75, count=40)]
    assert bins([(0.0, 0.0)] * 4) == [Bin(predicted=0, observed=0, count=4)]
