"""Drift: the data that a release was built from, beside the data of the live release.

Both are read from the arrays of the releases. Items and users are compared as they are now; events that are newer than
the live release with those that it learned from.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, ks_2samp, kstwobign

from winnow.evaluation.lists import log_of
from winnow.evaluation.record import Change, ColumnDrift, DataDrift
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature

_LARGEST = 3
_SAMPLE = 200_000
"""Values of a numeric column that are compared at most, a random sample."""

_QUARTILES = {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}

Shares = Mapping[str, float]


def drift(release: Release, live: Release) -> DataDrift:
    """Compare the data of two releases.

    Args:
        release: the newer one; its held-out events count.
        live: the live one.
    """
    ours, theirs = _Data(release, live.manifest.as_of), _Data(live, 0)
    columns = [
        *(_categorical(name, theirs, ours) for name in ours.shares if name in theirs.shares),
        *(_numeric(name, theirs.numbers[name], ours.numbers[name]) for name in ours.numbers if name in theirs.numbers),
    ]
    only = (ours.shares.keys() | ours.numbers.keys()) ^ (theirs.shares.keys() | theirs.numbers.keys())
    return DataDrift(
        volumes=[Change(value=name, before=theirs.volumes[name], now=ours.volumes[name]) for name in ours.volumes],
        columns=sorted(columns, key=lambda column: -column.distance),
        only=sorted(only),
    )


class _Data:
    """The columns of a release's data.

    Args:
        release: the release.
        since: events before it are left out of the columns, not of the volumes; milliseconds since the epoch.

    Attributes:
        volumes: table -> rows.
        shares: categorical column -> value -> share of the rows; the empty value is a missing one.
        numbers: numeric column -> float64, NaN where missing.
        rows: table -> rows that its columns have.
    """

    def __init__(self, release: Release, since: int) -> None:
        log, schema, words = log_of(release), release.schema, release.vocabularies
        items, users = np.asarray(release.array("item_rows"))[1:], np.asarray(release.array("user_rows"))
        item, event = log.item[log.timestamp >= since], log.event[log.timestamp >= since]
        held = 0
        if "holdout_moments.npy" in release.manifest.files:
            rows = release.array("holdout")
            moment = np.asarray(release.array("holdout_moments"))[np.unique(rows["user"], return_inverse=True)[1]]
            item = np.concatenate([item, rows["item"][moment >= since]])
            event = np.concatenate([event, rows["event"][moment >= since]])
            held = len(rows)
        self.volumes = {"items": len(items), "users": len(users), "events": len(log.item) + held}
        self.rows = {"items": len(items), "users": len(users), "events": len(event)}
        self.shares: dict[str, Shares] = {"items.available": _of_codes(items["available"][:, None], ["no", "yes"])}
        self.numbers: dict[str, NDArray[np.float64]] = {}
        for name, codes in _columns(schema.item, items):
            self.shares[f"items.{name}"] = _of_codes(codes, words[name])
        for name, codes in _columns(schema.user, users):
            self.shares[f"users.{name}"] = _of_codes(codes, words[f"user_{name}"])
        if len(event):
            category = items["categorical"][item - 1, : schema.item[0].width]
            self.shares["events.event"] = _of_codes(event[:, None], ["", *schema.events])
            self.shares["events.category"] = _of_codes(category, words[schema.item[0].name])
        if "item_modalities.npy" in release.manifest.files:
            has = release.array("item_modalities")[1:]
            self.shares |= {
                f"items.{name}": _of_codes(has[name][:, None], ["no", "yes"]) for name in has.dtype.names or ()
            }
        self.numbers |= {f"items.{name}": column for name, column in _numbers(schema.item, items)}
        self.numbers |= {f"users.{name}": column for name, column in _numbers(schema.user, users)}


def _columns(features: tuple[Feature, ...], rows: NDArray[np.void]) -> Iterator[tuple[str, NDArray[np.int32]]]:
    first = 0
    for feature in features:
        if feature.kind == "categorical":
            yield feature.name, rows["categorical"][:, first : first + feature.width]
            first += feature.width


def _numbers(features: tuple[Feature, ...], rows: NDArray[np.void]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The declared numeric columns in their own units: those of the build are standardised by its own data."""
    numeric = [feature for feature in features if feature.kind == "numeric"]
    for column, feature in enumerate(numeric):
        if feature.name in NUMERIC_FEATURES:
            continue
        stored = rows["numeric"][:, column].astype(np.float64)
        # An absent number is stored as exactly 0, the mean.
        values = np.where(stored == 0, np.nan, stored * feature.scale + feature.mean)
        # The price is stored by its logarithm (winnow.features.extract).
        yield feature.name, np.expm1(values) if feature.name == "price" else values


def _of_codes(codes: NDArray[Any], words: list[str]) -> Shares:
    """Value -> share of the rows that have it, ``""`` where a row has none."""
    rows = max(1, len(codes))
    counts = np.bincount(codes.ravel(), minlength=len(words)) / rows
    if words[:1] == [""]:
        counts[0] = float((codes == 0).all(axis=1).mean()) if len(codes) else 0.0
    return {word: float(counts[code]) for code, word in enumerate(words) if counts[code] > 0}


def _categorical(name: str, theirs: _Data, ours: _Data) -> ColumnDrift:
    before, now = theirs.shares[name], ours.shares[name]
    table, values = name.partition(".")[0], sorted(before.keys() | now.keys())
    old, new = (np.array([shares.get(value, 0.0) for value in values]) for shares in (before, now))
    # Of samples of one population, Lin's divergence is about a chi-squared variable (Lin, 1991, for equal weights).
    spread = chi2.ppf(0.95, max(1, len(values) - 1)) / 8 / np.log(2)
    changed = [values[place] for place in np.argsort(-np.abs(new - old), kind="stable")[:_LARGEST].tolist()]
    distance = 0.0 if before == now else 1.0
    if old.any() and new.any():
        distance = _rounded(jensenshannon(old, new, 2.0))
    return ColumnDrift(
        column=name,
        kind="categorical",
        distance=distance,
        chance=_rounded(min(1.0, np.sqrt(spread * _sparsity(theirs.rows[table], ours.rows[table])))),
        missing=_change("", before.get("", 0.0), now.get("", 0.0)),
        changes=[_change(value, before.get(value, 0.0), now.get(value, 0.0)) for value in changed],
    )


def _numeric(name: str, before: NDArray[np.float64], now: NDArray[np.float64]) -> ColumnDrift:
    gone = [float(np.isnan(column).mean()) if len(column) else 0.0 for column in (before, now)]
    old, new = (_sample(column[~np.isnan(column)]) for column in (before, now))
    distance, changes = 0.0 if len(old) == len(new) else 1.0, []
    if len(old) and len(new):
        distance = _rounded(ks_2samp(old, new, method="asymp").statistic)
        ends = [np.quantile(column, list(_QUARTILES.values())).tolist() for column in (old, new)]
        changes = [_change(*end) for end in zip(_QUARTILES, *ends, strict=True)]
    return ColumnDrift(
        column=name,
        kind="numeric",
        distance=distance,
        chance=_rounded(min(1.0, kstwobign.ppf(0.95) * np.sqrt(_sparsity(len(old), len(new))))),
        missing=_change("", *gone),
        changes=changes,
    )


def _sparsity(before: int, now: int) -> float:
    return 1 / max(1, before) + 1 / max(1, now)


def _sample(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values if len(values) <= _SAMPLE else np.random.default_rng(0).choice(values, _SAMPLE, replace=False)


def _change(value: str, before: float, now: float) -> Change:
    return Change(value=value, before=_rounded(before), now=_rounded(now))


def _rounded(value: float) -> float:
    return round(float(value), 6)
