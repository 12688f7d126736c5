"""Training-serving skew: compares logged features with the same features recomputed.

One impression in sixteen contains its features as the models received them (:mod:`winnow.feedback.impressions`). They
are recomputed from the source, the log and the event stream, and compared by feature name.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import orjson
from redis import Redis

from winnow.errors import WinnowError
from winnow.evaluation.comparison import EXAMPLES, Comparison, Example, FeatureSkew
from winnow.evaluation.recompute import Histories, Rows, rows
from winnow.feedback import impressions
from winnow.feedback.impressions import Served
from winnow.feedback.streams import newest_impressions
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.history import History
from winnow.store.publish import check_published


class SkewReport(TypedDict):
    """The report that ``winnow skew --json`` prints.

    ``not_checked`` counts the values that could not be recomputed, by reason.
    """

    release: int
    impressions: int
    features: list[FeatureSkew]
    not_checked: dict[str, int]


def check(release: Release, redis_url: str, limit: int, show_progress: bool = False) -> SkewReport:
    """Compare the newest impressions of a release that contain their features.

    Args:
        release: the served release.
        redis_url: address of Redis.
        limit: maximum number of impressions.
        show_progress: show a progress bar while the demo marketplace is generated.

    Raises:
        WinnowError: no impression contains features, the source cannot be read, or Redis does not answer.
        ReleaseMismatch: Redis does not hold this release.
    """
    with connect(redis_url) as client:
        check_published(client, redis_url, release)
        comparison = Comparison()
        shown = list(_shown(client, release, limit, comparison.not_checked))
        if not shown:
            raise WinnowError(
                f"no impression of release {release.manifest.number} contains its features, which are logged for one "
                f"request in {impressions.ONE_IN}: request some recommendations first"
            )
        histories = Histories(client, release, {one.user_id for one in shown})
    recomputed = Rows(release, show_progress)
    _compare_items(comparison, shown, recomputed, release)
    _compare_users(comparison, shown, recomputed, release)
    _compare_histories(comparison, shown, histories)
    return SkewReport(
        release=release.manifest.number,
        impressions=len(shown),
        features=list(comparison.features.values()),
        not_checked=dict(comparison.not_checked),
    )


def differing(report: SkewReport) -> list[str]:
    """Names of the features with at least one difference."""
    return [feature["feature"] for feature in report["features"] if feature["differing"]]


class _Impression(NamedTuple):
    request_id: str
    user_id: str
    moment_ms: int
    item_ids: list[str]
    has_user_state: bool
    served: Served


def _shown(client: Redis, release: Release, limit: int, not_checked: Counter[str]) -> Iterator[_Impression]:
    """Yield the newest impressions that contain features."""
    number, found = str(release.manifest.number).encode(), 0
    for _, fields in newest_impressions(client):
        if fields.get(b"release") != number or b"item_rows" not in fields:
            continue
        if not impressions.is_plain(fields):
            not_checked["impressions of sessions, of related items, and of lists"] += 1
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
            has_user_state=not any(part.startswith("user_state") for part in degraded),
            served=served,
        )
        found += 1
        if found == limit:
            return


def _compare_items(comparison: Comparison, shown: Sequence[_Impression], recomputed: Rows, release: Release) -> None:
    origins, served, expected_rows = [], [], []
    for impression in shown:
        for item_id, row in zip(impression.item_ids, impression.served.items, strict=True):
            # Of a new item only the packed row is stored, not the description that it was computed from.
            if not recomputed.of_release(item_id):
                comparison.not_checked["rows of items newer than the release"] += 1
            elif (expected := recomputed.item(item_id)) is None:
                comparison.not_checked["rows of items that the source no longer has"] += 1
            else:
                origins.append((impression.request_id, item_id))
                served.append(row)
                expected_rows.append(expected)
    dtype, vocabularies = release.schema.item_dtype, release.vocabularies
    comparison.rows(
        "item", release.schema.item, vocabularies, origins, np.array(served, dtype), np.array(expected_rows, dtype)
    )


def _compare_users(comparison: Comparison, shown: Sequence[_Impression], recomputed: Rows, release: Release) -> None:
    origins: list[tuple[str, str | None]] = []
    served, expected_rows = [], []
    for impression in shown:
        if not impression.has_user_state:
            comparison.not_checked["users whose state could not be read for the request"] += 1
        elif (expected := recomputed.user(impression.user_id)) is None:
            comparison.not_checked["rows of users that the source no longer has"] += 1
        else:
            origins.append((impression.request_id, None))
            served.append(impression.served.user)
            expected_rows.append(expected)
    vocabularies = {
        feature.name: release.vocabularies.get(f"user_{feature.name}", []) for feature in release.schema.user
    }
    dtype = release.schema.user_dtype
    comparison.rows(
        "user", release.schema.user, vocabularies, origins, np.array(served, dtype), np.array(expected_rows, dtype)
    )


def _compare_histories(comparison: Comparison, shown: Sequence[_Impression], histories: Histories) -> None:
    for impression in shown:
        if not impression.has_user_state:
            continue
        served = impression.served.history
        possible = histories.at(impression.user_id, impression.moment_ms)
        if any(rows(served) == rows(expected) for expected in possible):
            comparison.note("history", 1, [])
        elif histories.is_lost(impression.user_id, served):
            comparison.not_checked["histories with events that were trimmed from the stream"] += 1
        else:
            comparison.note("history", 1, [_history_difference(impression, served, possible[0])])


def _history_difference(impression: _Impression, served: History, expected: History) -> tuple[float, Example]:
    ours, theirs = Counter(rows(served)), Counter(rows(expected))
    only_ours, only_theirs = list((ours - theirs).elements()), list((theirs - ours).elements())
    example = Example(
        request_id=impression.request_id,
        item_id=None,
        served=f"{len(served.items)} events, only here: {only_ours[-EXAMPLES:]}",
        recomputed=f"{len(expected.items)} events, only here: {only_theirs[-EXAMPLES:]}",
    )
    # The same events in another order count as a difference of size 0.
    return float(len(only_ours) + len(only_theirs)), example
