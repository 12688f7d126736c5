"""Are the heads right? On withheld moments of the marketplace, and against its users for the items that are shown."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import serving
from benchmarks.value.endpoint import ask, item_ids
from benchmarks.value.moments import moments
from benchmarks.value.subjects import WITHHELD_DAYS, Marketplace, Subjects
from winnow import protocols

USERS = 1000
K = 10
_BINS = 10
_SEED = 0


def measure(subjects: Subjects) -> list[Row]:
    """AUC and calibration of every head, and the conversion of the shown items against the users'."""
    marketplace = subjects.marketplace
    schema = marketplace.release.schema
    found = moments(marketplace)
    split = f"views of the last {WITHHELD_DAYS} days of the log, which the release does not know"
    converting = [schema.events.index(name) for name in schema.conversions]
    converted: NDArray[np.bool_] = np.logical_or.reduce(found.labels[:, converting], axis=1)
    heads = {
        name: (found.given_view[:, number], found.labels[:, number]) for number, name in enumerate(schema.events)
    } | {"any conversion": (found.given_view[:, -1], converted), "click": (found.click, found.clicked)}
    rows = [
        row(f"moments: {split}", found.withheld, ""),
        row("moments whose item is among the candidates", len(found.labels) / found.withheld, "share"),
    ]
    for name, (probability, label) in heads.items():
        # A type that follows every moment, as the view itself, has nothing to tell apart.
        if not label.all():
            rows.append(row(f"{name}, AUC", area_under_curve(probability, label), "", ">= 0.65"))
        rows.append(row(f"{name}, expected calibration error", calibration_error(probability, label), "", "<= 0.02"))
    return rows + _shown(marketplace)


def _shown(marketplace: Marketplace) -> list[Row]:
    users = some_users(marketplace, USERS)
    with serving(marketplace.release) as ports, protocols.http(ports.http) as endpoint:
        answers = ask(endpoint, users, K)
    lists = as_rows(marketplace, [item_ids(answer) for answer in answers])
    true = marketplace.judge.ask(marketplace.rows(users), lists, _SEED).conversion[lists >= 0]
    said = np.array([item["conversion"] for answer in answers for item in answer["items"]], np.float64)
    return [
        row(f"conversion of the items shown to {USERS} users, mean", float(said.mean()), "probability"),
        row("the same by the marketplace's users", float(true.mean()), "probability"),
        row("relative difference of the two", abs(float(said.mean() / true.mean()) - 1), "share", "<= 0.2"),
    ]


def some_users(marketplace: Marketplace, count: int) -> list[str]:
    """Ids of users with a history, at random from a fixed seed."""
    release = marketplace.release
    active = np.flatnonzero(np.diff(release.array("offsets")) > 0)
    chosen: list[str] = release.array("user_ids")[np.random.default_rng(_SEED).permutation(active)[:count]].tolist()
    return chosen


def as_rows(marketplace: Marketplace, lists: list[list[str]]) -> NDArray[np.int64]:
    """Lists of ids as rows of the marketplace, int64 [lists, longest], padded with -1."""
    rows = np.full((len(lists), max(map(len, lists))), -1)
    for position, ids in enumerate(lists):
        rows[position, : len(ids)] = marketplace.rows(ids)
    return rows


def area_under_curve(probability: NDArray[np.float32], label: NDArray[np.bool_]) -> float:
    """The probability that a true case has a higher one than a false case; equal ones count half."""
    true, false = int(label.sum()), int((~label).sum())
    ranks = rankdata(probability)[label].sum()
    return float((ranks - true * (true + 1) / 2) / (true * false)) if true and false else float("nan")


def calibration_error(probability: NDArray[np.float32], label: NDArray[np.bool_]) -> float:
    """The mean difference between probability and frequency over ten bins of equally many cases."""
    bins = np.array_split(np.argsort(probability, kind="stable"), _BINS)
    gaps = [abs(float(probability[cases].mean()) - float(label[cases].mean())) * len(cases) for cases in bins]
    return sum(gaps) / len(label)
