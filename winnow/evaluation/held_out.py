"""Held-out outcomes: what each user did after the moment from which a build holds their events out.

A release built with ``--holdout last`` stores them. An objective selects the users that an evaluation counts: those
whose outcome includes one of its event types.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.errors import WinnowError
from winnow.release import Release
from winnow.schema import FeatureSchema

OUTCOME = np.dtype([("user", "<i4"), ("item", "<i4"), ("event", "<i4"), ("grade", "<f4")])
"""An event type of a user's outcome: row of ``user_ids``, item index, event type code, and grade."""

ANY, CONVERSION = "any", "conversion"
"""Objectives that stand for several event types: all of positive value, and the declared conversions."""


class Targets(NamedTuple):
    """What the lists of an evaluation are compared with.

    Attributes:
        users: int64 [n], rows of ``user_ids``, ascending.
        items: int32 [n], the held-out item of each.
        values: float64 [n], the value of each user's outcome, which may be negative.
        moments: int64 [n], when each user's held-out events begin, milliseconds since the epoch; ``None`` in releases
            from before it was stored.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    values: NDArray[np.float64]
    moments: NDArray[np.int64] | None = None

    def where(self, mask: NDArray[np.bool_]) -> "Targets":
        """The targets of some of the users: of those where ``mask``, bool [n], is true."""
        moments = None if self.moments is None else self.moments[mask]
        return Targets(self.users[mask], self.items[mask], self.values[mask], moments)


def outcomes(held: pa.Table, windows_ms: Sequence[int]) -> NDArray[np.void]:
    """The outcomes of held-out events.

    A user's moment is the first held-out event. Its outcome has every event type with which the user acted on that
    item from then on, within the type's attribution window; of several such events of one type, the largest grade.

    Args:
        held: the held-out events in index space, as :func:`winnow.features.log.in_index_space` returns them.
        windows_ms: attribution window of each event type, milliseconds.

    Returns:
        :data:`OUTCOME` [n], by user and event type, each pair once.
    """
    user, item, event, timestamp = (held[name].to_numpy() for name in ("user", "item", "event", "timestamp"))
    _, first, of_user = np.unique(user, return_index=True, return_inverse=True)
    moment = first[of_user]
    windows = np.array([0, *windows_ms], np.int64)
    attributed = (item == item[moment]) & (timestamp - timestamp[moment] <= windows[event])
    found = np.zeros(int(attributed.sum()), OUTCOME)
    for name in OUTCOME.names or ():
        found[name] = held[name].to_numpy()[attributed]
    found = found[np.lexsort((-found["grade"], found["event"], found["user"]))]
    largest: NDArray[np.void] = found[
        (np.diff(found["user"], prepend=-1) != 0) | (np.diff(found["event"], prepend=-1) != 0)
    ]
    return largest


def moments(held: pa.Table) -> NDArray[np.int64]:
    """When the held-out events of each user begin.

    Args:
        held: as for :func:`outcomes`.

    Returns:
        int64 [n], milliseconds since the epoch, for the n users of the outcomes, ascending.
    """
    _, first = np.unique(held["user"].to_numpy(), return_index=True)
    begin: NDArray[np.int64] = held["timestamp"].to_numpy()[first]
    return begin


def types_of(schema: FeatureSchema, objective: str) -> tuple[str, ...]:
    """The event types of an objective, in the order of the schema.

    Args:
        schema: schema of the release.
        objective: ``any``, ``conversion``, a declared event type, or several of these, separated by commas. A
            declared type of such a name comes first.

    Raises:
        WinnowError: a part is none of these.
    """
    groups = {
        ANY: tuple(name for name, value in zip(schema.events, schema.event_values, strict=True) if value > 0),
        CONVERSION: schema.conversions,
    } | {name: (name,) for name in schema.events}
    parts = [objective] if objective in groups else [part.strip() for part in objective.split(",")]
    unknown = [part for part in parts if part not in groups]
    if unknown:
        raise WinnowError(
            f"--objective: {unknown[0]!r} is not an event type of this data set, which has {', '.join(schema.events)}; "
            f"name one or several of them, separated by commas, or {ANY} or {CONVERSION}"
        )
    named = {name for part in parts for name in groups[part]}
    return tuple(name for name in schema.events if name in named)


def targets(release: Release, types: Sequence[str]) -> Targets:
    """The users whose outcome has an event of one of ``types``, with the held-out item and the value of the outcome.

    The value is the sum over all event types of the outcome, also of others than ``types``, of value times grade.

    Raises:
        WinnowError: there is no such user.
    """
    schema, rows = release.schema, release.array("holdout")
    if not len(rows):
        needed = "three events of positive value" if schema.repeats == "allow" else "events with three items"
        raise WinnowError(f"no event was held out, because no user has {needed} or more: there is nothing to evaluate")
    codes = [schema.events.index(name) + 1 for name in types]
    users, first, of_user = np.unique(rows["user"], return_index=True, return_inverse=True)
    value = schema.value_by_code[rows["event"]] * rows["grade"]
    counts = np.bincount(of_user, weights=np.isin(rows["event"], codes) & (rows["grade"] > 0)) > 0
    if not counts.any():
        found = np.bincount(rows["event"], minlength=len(schema.events) + 1)[1:]
        raise WinnowError(
            f"no user's held-out item has an event of {', '.join(types)}; the {len(users):,} held-out items have "
            + ", ".join(f"{name} of {count:,} users" for name, count in zip(schema.events, found, strict=True))
        )
    values = np.bincount(of_user, weights=value).astype(np.float64)
    stored = "holdout_moments.npy" in release.manifest.files
    moments = np.asarray(release.array("holdout_moments")) if stored else None
    return Targets(users.astype(np.int64), rows["item"][first].astype(np.int32), values, moments).where(counts)
