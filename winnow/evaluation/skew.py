"""Training-serving skew: the features that answers were made from, beside the same features computed anew.

One impression in sixteen carries its features as the models were given them (:mod:`winnow.feedback.impressions`). Here
they are computed a second time, from the source, the log and the event stream, and compared by name.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypedDict, cast

import numpy as np
import orjson
from redis import Redis

from winnow.errors import WinnowError
from winnow.evaluation.comparison import EXAMPLES, Comparison, Example, FeatureSkew
from winnow.evaluation.recompute import Histories, Rows, rows
from winnow.feedback import impressions
from winnow.feedback.impressions import Served
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.events import Entry
from winnow.store.history import History
from winnow.store.keys import IMPRESSIONS
from winnow.store.publish import check_published

_READ = 1000


class SkewReport(TypedDict):
    """What ``winnow skew --json`` prints.

    ``not_checked`` counts what could not be computed again, by reason.
    """

    release: int
    impressions: int
    features: list[FeatureSkew]
    not_checked: dict[str, int]


def check(release: Release, redis_url: str, limit: int, show_progress: bool = False) -> SkewReport:
    """Compare the newest impressions of a release that carry their features.

    Args:
        release: which was served.
        redis_url: where its impressions are.
        limit: impressions compared at most.
        show_progress: draw a bar where the demo marketplace must be drawn first.

    Raises:
        WinnowError: there is nothing to compare, the source cannot be read, or Redis does not answer.
        ReleaseMismatch: Redis does not hold this release.
    """
    with connect(redis_url) as client:
        check_published(client, redis_url, release)
        comparison = Comparison()
        shown = list(_shown(client, release, limit, comparison.not_checked))
        if not shown:
            raise WinnowError(
                f"no impression of release {release.manifest.number} carries its features: one request in "
                f"{impressions.ONE_IN} does, so ask for some recommendations first"
            )
        histories = Histories(client, release, {one.user_id for one in shown})
    computed = Rows(release, show_progress)
    _compare_items(comparison, shown, computed, release)
    _compare_users(comparison, shown, computed, release)
    _compare_histories(comparison, shown, histories)
    return SkewReport(
        release=release.manifest.number,
        impressions=len(shown),
        features=list(comparison.features.values()),
        not_checked=dict(comparison.not_checked),
    )


def differing(report: SkewReport) -> list[str]:
    """Names of the features that differ anywhere."""
    return [feature["feature"] for feature in report["features"] if feature["differing"]]


class _Impression(NamedTuple):
    request_id: str
    user_id: str
    moment_ms: int
    item_ids: list[str]
    knew_user: bool
    served: Served


def _shown(client: Redis, release: Release, limit: int, not_checked: Counter[str]) -> Iterator[_Impression]:
    """The newest impressions that carry features."""
    number, found = str(release.manifest.number).encode(), 0
    for _, fields in _newest_first(client):
        if fields.get(b"release") != number or b"item_rows" not in fields:
            continue
        item_ids = [item["item_id"] for item in orjson.loads(fields[b"items"])]
        degraded: list[str] = orjson.loads(fields[b"degraded"])
        try:
            served = impressions.decode(fields, release.schema)
        except ValueError:
            served = None
        if (
            served is None
            or len(served.items) != len(item_ids)
            or impressions.digest(served).encode() != fields.get(b"features")
        ):
            not_checked["impressions whose features are not whole"] += 1
            continue
        yield _Impression(
            request_id=fields[b"request_id"].decode(),
            user_id=fields[b"user_id"].decode(),
            moment_ms=int(fields[b"timestamp"]),
            item_ids=item_ids,
            knew_user=not any(part.startswith("user_state") for part in degraded),
            served=served,
        )
        found += 1
        if found == limit:
            return


def _newest_first(client: Redis) -> Iterator[Entry]:
    end = b"+"
    while True:
        read = cast("list[Entry]", client.xrevrange(IMPRESSIONS, end, "-", count=_READ))
        yield from read
        if len(read) < _READ:
            return
        end = b"(" + read[-1][0]


def _compare_items(comparison: Comparison, shown: Sequence[_Impression], computed: Rows, release: Release) -> None:
    places, served, again = [], [], []
    for impression in shown:
        for item_id, row in zip(impression.item_ids, impression.served.items, strict=True):
            # What a fresh item was described by is not kept; only its finished row is.
            if not computed.of_release(item_id):
                comparison.not_checked["rows of items newer than the release"] += 1
            elif (expected := computed.item(item_id)) is None:
                comparison.not_checked["rows of items that the source has no more"] += 1
            else:
                places.append((impression.request_id, item_id))
                served.append(row)
                again.append(expected)
    dtype, words = release.schema.item_dtype, release.vocabularies
    comparison.rows("item", release.schema.item, words, places, np.array(served, dtype), np.array(again, dtype))


def _compare_users(comparison: Comparison, shown: Sequence[_Impression], computed: Rows, release: Release) -> None:
    places: list[tuple[str, str | None]] = []
    served, again = [], []
    for impression in shown:
        if not impression.knew_user:
            comparison.not_checked["users that could not be read when they were answered"] += 1
        elif (expected := computed.user(impression.user_id)) is None:
            comparison.not_checked["rows of users that the source has no more"] += 1
        else:
            places.append((impression.request_id, None))
            served.append(impression.served.user)
            again.append(expected)
    words = {feature.name: release.vocabularies.get(f"user_{feature.name}", []) for feature in release.schema.user}
    dtype = release.schema.user_dtype
    comparison.rows("user", release.schema.user, words, places, np.array(served, dtype), np.array(again, dtype))


def _compare_histories(comparison: Comparison, shown: Sequence[_Impression], histories: Histories) -> None:
    for impression in shown:
        if not impression.knew_user:
            continue
        served = impression.served.history
        possible = histories.at(impression.user_id, impression.moment_ms)
        if any(rows(served) == rows(expected) for expected in possible):
            comparison.note("history", 1, [])
        elif histories.is_lost(impression.user_id, served):
            comparison.not_checked["histories with events that the stream holds no more"] += 1
        else:
            comparison.note("history", 1, [_history_difference(impression, served, possible[0])])


def _history_difference(impression: _Impression, served: History, expected: History) -> tuple[float, Example]:
    ours, theirs = Counter(rows(served)), Counter(rows(expected))
    only_ours, only_theirs = list((ours - theirs).elements()), list((theirs - ours).elements())
    example = Example(
        request_id=impression.request_id,
        item_id=None,
        served=f"{len(served.items)} events, of them only here: {only_ours[-EXAMPLES:]}",
        recomputed=f"{len(expected.items)} events, of them only here: {only_theirs[-EXAMPLES:]}",
    )
    # The same events in another order differ too.
    return float(len(only_ours) + len(only_theirs)), example
