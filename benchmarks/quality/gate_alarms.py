"""How often the gate's metrics refuse a release that is equal to the live one, and one that is worse.

Users and lists are simulated, the records are made and judged as real ones are. A user's held-out item has a rank in
the live release's list and one in the candidate's; the two ranks share a part of their noise, as two builds on nearly
the same data do. A worse release loses a share of its hits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.rows import Row, row
from winnow.evaluation.record import LIVE, Estimate, EvaluationRecord, Group
from winnow.lifecycle.gate import metrics
from winnow.lifecycle.gate.rules import Gate

_ITEMS = 2000
_SHARED = 0.7
"""Correlation of the two releases' ranks."""

_RESAMPLES = 300
_SIZES = (50, 200, 1000, 5000)
_FUNNEL, _POPULARITY = "funnel", "popularity"

Metric = Callable[[NDArray[np.float64]], NDArray[np.float64]]
METRICS: dict[str, Metric] = {
    "ndcg@10": lambda rank: np.where(rank <= 10, 1 / np.log2(1 + rank), 0.0),
    "recall@50": lambda rank: (rank <= 50).astype(np.float64),
}


class Outcome(NamedTuple):
    """Shares of the simulated releases.

    Attributes:
        refused: a check failed.
        undecided: a check said that the users are too few.
    """

    refused: float
    undecided: float


def outcome(users: int, loss: float, releases: int, seed: int = 0) -> Outcome:
    """Judge simulated releases by the default rules.

    Args:
        users: number of evaluated users, all of them comparable with the live release.
        loss: share of the hits that the candidate loses; 0 for an equal release.
        releases: number of simulated candidates.
        seed: of the simulation.
    """
    rng, rules = np.random.default_rng(seed), Gate().metrics
    refused = undecided = 0
    for _ in range(releases):
        checks = list(metrics.checks(simulated(users, loss, rng), 1, rules))
        refused += not all(check.passed for check in checks)
        undecided += any("too few users" in check.message for check in checks)
    return Outcome(refused / releases, undecided / releases)


def simulated(users: int, loss: float, rng: np.random.Generator) -> EvaluationRecord:
    """The record of a simulated release beside the live release 1; ndcg@10 of the live one is about 0.13."""
    shared, alone = rng.standard_normal(users), rng.standard_normal((2, users))
    noise = np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * alone
    ranks = {_FUNNEL: _rank(noise[0]), LIVE: _rank(noise[1]), _POPULARITY: _rank(rng.standard_normal(users) + 0.8)}
    ranks[_FUNNEL] = np.where(rng.random(users) < loss, _ITEMS, ranks[_FUNNEL])
    values = {name: {metric: of(rank) for metric, of in METRICS.items()} for name, rank in ranks.items()}
    drawn = rng.multinomial(users, np.full(users, 1 / users), _RESAMPLES) / users
    group = Group(
        users=users,
        metrics={name: {metric: _estimate(each, drawn) for metric, each in of.items()} for name, of in values.items()},
        differences={
            name: {metric: _estimate(values[_FUNNEL][metric] - each, drawn) for metric, each in of.items()}
            for name, of in values.items()
            if name != _FUNNEL
        },
    )
    return EvaluationRecord(
        release=2,
        live=1,
        uncompared="",
        objective="any",
        types=["view"],
        split="simulated",
        items=_ITEMS,
        overall=group,
        beside_live=group,
        segments={},
        losses=[],
        calibration={},
    )


def measure() -> list[Row]:
    """Equal releases of several numbers of users, and worse ones."""
    rows = []
    for loss in (0.0, 0.1, 0.2, 0.4):
        kind = f"a release that loses {loss:.0%} of its hits" if loss else "an equal release"
        for users in _SIZES:
            found = outcome(users, loss, 400 if users < 5000 else 200)
            target = "" if loss else "<= 0.08"
            rows.append(row(f"{kind}, {users:,} users: refused", found.refused, "share", target))
            rows.append(row(f"{kind}, {users:,} users: too few to tell", found.undecided, "share"))
    return rows


def _rank(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, of which a quarter are among the first ten."""
    rank: NDArray[np.float64] = np.ceil(np.clip(np.exp(3.5 + 1.8 * noise), 1, _ITEMS))
    return rank


def _estimate(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(drawn @ values, [0.025, 0.975])
    return Estimate(value=float(values.mean()), low=float(low), high=float(high))
