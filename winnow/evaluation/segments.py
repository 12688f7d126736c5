"""Segments of the evaluated users, by activity or by a column of the users table."""

import numpy as np
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.release import Release
from winnow.schema import FeatureSchema

ACTIVITY = "activity"
"""Segments by the number of events in the history."""

MOST = 20
"""Segments of a column at most: the values of the fewest users are one segment together."""

_ABSENT = "(none)"


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
