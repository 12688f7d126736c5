"""The record of an evaluation that never took place, with names that would harm a page that did not escape them."""

from datetime import UTC, datetime

import numpy as np

from winnow.evaluation.intervals import exact, resampled
from winnow.evaluation.record import (
    LIVE,
    Bin,
    Change,
    ColumnDrift,
    DataDrift,
    EvaluationRecord,
    Group,
    Loss,
)
from winnow.provenance import BuildRecord, Cost, Curve, Point
from winnow.ranking.user_metrics import Popularity, ratios
from winnow.release import BuildInputs, Manifest

HOSTILE = "<script>alert('&')</script>"
ITEMS = 200
NAMES = ("funnel", "retriever", "popularity", "item_knn")


def group(users: int, names: tuple[str, ...] = NAMES, seed: int = 0) -> Group:
    """Users of whom each recommender finds fewer than the one before it."""
    rng = np.random.default_rng(seed)
    held_out, values = rng.integers(1, ITEMS + 1, users).astype(np.int32), rng.choice([1.0, 10.0], users)
    popularity = Popularity.of(rng.integers(0, 50, ITEMS + 1), 500)
    parts = {}
    for number, name in enumerate(names):
        top = np.stack([rng.permutation(ITEMS)[:50] + 1 for _ in range(users)]).astype(np.int32)
        found = np.flatnonzero(rng.random(users) < 0.6 / (number + 1))
        top[found, rng.integers(0, 20, len(found))] = held_out[found]
        parts[name] = ratios(top, held_out, values, popularity)
    drawn = resampled(parts)
    covered = {"coverage@10": exact(0.5)}
    return Group(
        users=users,
        metrics={name: {m: each.estimate() for m, each in found.items()} | covered for name, found in drawn.items()},
        differences={
            name: {m: drawn["funnel"][m].minus(each) for m, each in found.items()} | {"coverage@10": exact(0.0)}
            for name, found in drawn.items()
            if name != "funnel"
        },
    )


def record(live: int | None = 1) -> EvaluationRecord:
    """A record with every part, or without all that needs a live release."""
    return EvaluationRecord(
        release=2,
        live=live,
        uncompared="" if live else "no release is live",
        objective="any",
        types=["view", HOSTILE],
        split="each user's last",
        items=ITEMS,
        overall=group(120),
        beside_live=group(60, (*NAMES, LIVE), 1) if live else None,
        segments={
            "new users": {"new (up to 3 events)": group(12), "others": group(108)},
            "item's category": {HOSTILE: group(70), "books": group(50)},
        },
        losses=[
            Loss(stage="sources", reached=120, dropped=20),
            Loss(stage="seen", reached=100, dropped=0),
            Loss(stage="unlikely", reached=100, dropped=5),
            Loss(stage="ranker", reached=95, dropped=40),
            Loss(stage="orderer", reached=55, dropped=3),
        ],
        calibration={
            "click": [Bin(predicted=p, observed=o, count=n) for p, o, n in ((0.001, 0, 900), (0.2, 0.3, 40))],
            HOSTILE: [Bin(predicted=0.5, observed=0.4, count=80)],
        },
        drift=DataDrift(
            volumes=[Change(value=name, before=100, now=120) for name in ("items", "users", "events")],
            columns=[
                ColumnDrift(
                    column=f"users.{HOSTILE}",
                    kind="categorical",
                    distance=0.3,
                    chance=0.05,
                    missing=Change(value="", before=0.0, now=0.1),
                    changes=[Change(value=HOSTILE, before=0.5, now=0.2)],
                ),
                ColumnDrift(
                    column="items.price",
                    kind="numeric",
                    distance=0.02,
                    chance=0.1,
                    missing=Change(value="", before=0.0, now=0.0),
                    changes=[Change(value=name, before=1.0, now=1.1) for name in ("lower quartile", "median")],
                ),
            ],
            only=[f"items.{HOSTILE}"],
        )
        if live
        else None,
    )


def build() -> BuildRecord:
    """The course and the costs of a build."""
    points = [
        Point(epoch=epoch, loss=5 / epoch, validation=0.1 * epoch if epoch % 2 == 0 else None) for epoch in (1, 2, 3, 4)
    ]
    return BuildRecord(
        curves={"retriever, holdout fit": Curve(validation="ndcg@10", points=points)},
        steps=[Cost(step=step, seconds=30, cpu_seconds=45, memory_mb=900) for step in ("ingest", "train", "release")],
    )


def manifest() -> Manifest:
    """The manifest of the evaluated release."""
    return Manifest(
        number=2,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        dataset=HOSTILE,
        source=BuildInputs(data=f"/data/{HOSTILE}"),
        holdout="last",
        as_of=1_700_000_000_000,
        history_length=50,
        candidates={"retriever": 100},
        training={"ranker": {"width": 64}},
        schema_digest="",
        files={},
        models={},
        constant_heads={HOSTILE: "no event of this type"},
        parity={"ranker": 1e-6},
    )
