"""Segments of the evaluated users: by activity, by a column of the users table, or by their held-out item."""

import numpy as np
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.evaluation.held_out import Targets
from winnow.features.table import Interactions
from winnow.release import Release
from winnow.schema import DAY_MS, FeatureSchema

ACTIVITY = "activity"
"""Segments by the number of events in the history."""

MOST = 20
"""Segments of a column at most: the values of the fewest users are one segment together."""

_ABSENT = "(none)"

_FEW = 3
"""Events up to which a user is new."""

_AGES = {"under a day": 1, "1 to 7 days": 7, "7 to 30 days": 30}
"""Segment of item's age -> days that it ends at."""

Masks = dict[str, NDArray[np.bool_]]
"""Segment -> which of the evaluated users are in it."""


def all_segments(release: Release, log: Interactions, wanted: Targets) -> dict[str, Masks]:
    """Every dimension that has at least two segments.

    Args:
        release: the release.
        log: its log.
        wanted: the evaluated users.

    Returns:
        Dimension -> its segments: the users' activity, new users, each categorical column of the users; of the held-out
        item, the time since its first event in the log (``item's age``), its category and its modalities (``item's
        content``).
    """
    rows = np.asarray(release.array("item_rows")["categorical"][wanted.items])
    [category, *_] = [feature for feature in release.schema.item if feature.kind == "categorical"]
    found = {by: segments(release, wanted.users, by) for by in (ACTIVITY, *_columns(release.schema))}
    found["new users"] = _new_users(np.diff(log.offsets)[wanted.users])
    if wanted.moments is not None:
        found["item's age"] = _by_age(log, wanted.items, wanted.moments)
    found["item's category"] = _by_value(rows[:, : category.width], release.vocabularies[category.name])
    if "item_modalities.npy" in release.manifest.files:
        found["item's content"] = _by_modality(np.asarray(release.array("item_modalities")[wanted.items]))
    return {name: masks for name, masks in found.items() if len(masks) > 1}


def _new_users(events: NDArray[np.int64]) -> Masks:
    new = events <= _FEW
    found = {f"new (up to {_FEW} events)": new, "others": ~new}
    return {name: mask for name, mask in found.items() if mask.any()}


def _by_age(log: Interactions, items: NDArray[np.int32], moments: NDArray[np.int64]) -> Masks:
    first = np.full(max(int(log.item.max(initial=0)), int(items.max(initial=0))) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, log.item, log.timestamp)
    known = first[items] < moments
    days = np.where(known, (moments - np.where(known, first[items], 0)) / DAY_MS, np.inf)
    found, least = {"cold (no event before)": ~known}, 0
    for name, most in _AGES.items():
        found[name] = known & (days >= least) & (days < most)
        least = most
    found[f"over {least} days"] = known & (days >= least)
    return {name: mask for name, mask in found.items() if mask.any()}


def _by_modality(has: NDArray[np.void]) -> Masks:
    """One segment per combination of contents, so that each user is in one."""
    names = np.array(has.dtype.names or (), np.str_)
    columns = np.stack([has[name] for name in names], axis=1) if len(names) else np.zeros((len(has), 0), np.bool_)
    kinds, of = np.unique(columns, axis=0, return_inverse=True)
    return {
        " + ".join(names[kind].tolist()) or "no content": of.ravel() == number
        for number, kind in reversed(list(enumerate(kinds)))
    }


def check_segment(schema: FeatureSchema, by: str) -> None:
    """Refuse segments that the schema does not have.

    Raises:
        WinnowError: ``by`` is neither a categorical column of the users nor :data:`ACTIVITY`.
    """
    columns = _columns(schema)
    if by != ACTIVITY and by not in columns:
        raise WinnowError(
            f"--by: {by!r} is not a segment of this data set; name {', '.join([ACTIVITY, *columns])} (a categorical "
            "column of the users table is one)"
        )


def segments(release: Release, users: NDArray[np.int64], by: str) -> dict[str, NDArray[np.bool_]]:
    """The evaluated users of each segment; a user with several values of a column is in several segments.

    Args:
        release: the release.
        users: int64 [n], rows of ``user_ids``.
        by: a categorical column of the users, or :data:`ACTIVITY`: the terciles of the histories' lengths.

    Returns:
        Name of the segment -> bool [n]. Terciles in ascending order, values with the most users first.
    """
    check_segment(release.schema, by)
    columns = _columns(release.schema)
    if by in columns:
        codes = np.asarray(release.array("user_rows")["categorical"][users, columns[by]])
        return _by_value(codes, release.vocabularies[f"user_{by}"])
    return _by_activity(np.diff(release.array("offsets"))[users])


def _columns(schema: FeatureSchema) -> dict[str, slice]:
    """The categorical columns of the users, with their places in ``user_rows``."""
    categorical = [feature for feature in schema.user if feature.kind == "categorical"]
    ends = np.cumsum([feature.width for feature in categorical], dtype=int).tolist()
    return {feature.name: slice(end - feature.width, end) for feature, end in zip(categorical, ends, strict=True)}


def _by_activity(events: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Terciles; users with equally many events are in one, so that there may be fewer than three."""
    bounds = np.quantile(events, [1 / 3, 2 / 3], method="inverted_cdf")
    tercile = np.searchsorted(bounds, events)
    found = {}
    for number in np.unique(tercile).tolist():
        inside = tercile == number
        fewest, most = int(events[inside].min()), int(events[inside].max())
        span = f"{fewest} to {most}" if fewest < most else f"{most}"
        found[f"{span} event{'' if most == 1 else 's'}"] = inside
    return found


def _by_value(codes: NDArray[np.int32], vocabulary: list[str]) -> dict[str, NDArray[np.bool_]]:
    found = {vocabulary[code]: (codes == code).any(axis=1) for code in np.unique(codes[codes > 0]).tolist()}
    without = (codes == 0).all(axis=1)
    if without.any():
        found[_ABSENT] = without
    ordered = sorted(found, key=lambda name: (-int(found[name].sum()), name))
    shown, rest = (ordered, []) if len(ordered) <= MOST else (ordered[: MOST - 1], ordered[MOST - 1 :])
    result = {name: found[name] for name in shown}
    if rest:
        result[f"({len(rest)} other values)"] = np.logical_or.reduce([found[name] for name in rest])
    return result
