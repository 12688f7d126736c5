"""Asks a release what it would have shown for logged requests: by its whole funnel, with the histories of then.

A stack of its own serves the release without exploration. The log is replayed in rounds: each user's events until the
next request are sent to the stack's ``events`` model, and then the request is repeated, so that a list is computed from
what the user had done by then and from nothing later. Models read gaps between events and never the clock.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from winnow import protocols
from winnow.errors import WinnowError
from winnow.evaluation.off_policy.feedback import Feedback
from winnow.evaluation.off_policy.log import Policy
from winnow.items.index import ItemIndex
from winnow.local.stack import beside
from winnow.local.stack_state import Predictor
from winnow.release import Release
from winnow.request import MAX_DEADLINE_MS, MAX_INSTANCES, MAX_K

_BATCH = 16


def replay(release: Release, feedback: Feedback, predictor: Predictor, show_progress: bool) -> Policy:
    """The lists that a release would have shown for the requests of a log, as a deterministic policy.

    Of a request the log has its user, its time and its length. Filters, weights or a diversity of its own are not
    logged: such requests are repeated without them.

    Args:
        release: the release.
        feedback: the log.
        predictor: what computes the models.
        show_progress: show progress bars.

    Raises:
        WinnowError: the stack does not start, or an answer was degraded.
    """
    requests, items, positions = [], [], []
    find = ItemIndex.of(release).find
    with (
        beside(release.manifest.number, predictor, show_progress=show_progress) as ports,
        protocols.grpc(ports.grpc) as asked,
        protocols.http(ports.http) as told,
        tqdm(total=feedback.log.requests, desc="replay requests", disable=not show_progress) as bar,
    ):
        for events, batch in _rounds(release, feedback):
            for start in range(0, len(events), MAX_INSTANCES):
                protocols.send_events(told, events[start : start + MAX_INSTANCES])
            for start in range(0, len(batch), _BATCH):
                part = batch[start : start + _BATCH]
                for (asking, _), answer in zip(part, protocols.over_grpc(asked, [one for _, one in part]), strict=True):
                    if answer["degraded"]:
                        raise WinnowError(f"the funnel was degraded while requests were replayed: {answer['degraded']}")
                    shown = find([item["item_id"].encode() for item in answer["items"]])
                    requests.append(np.full(len(shown), asking))
                    items.append(shown.astype(np.int64))
                    positions.append(np.arange(len(shown)))
                bar.update(len(part))
    request, item, position = (np.concatenate(parts) for parts in (requests, items, positions))
    return Policy(request, item, position, np.ones(len(request)))


def _rounds(
    release: Release, feedback: Feedback
) -> Iterator[tuple[list[dict[str, Any]], list[tuple[int, dict[str, Any]]]]]:
    """The events to send and then the requests to repeat: of every user's first request, every second one and so on."""
    features, log = feedback.features, feedback.log
    moments = features.impressions.timestamp[feedback.requests]
    lengths = np.zeros(log.requests, np.int64)
    np.maximum.at(lengths, log.request, log.position + 1)
    of_user: dict[int, list[int]] = defaultdict(list)
    for row in np.argsort(moments, kind="stable").tolist():
        of_user[int(log.user[row])].append(row)
    events = features.interactions
    # The release's own histories end where its data does.
    next_event = {user: _first(events.timestamp, events.of(user), release.manifest.as_of) for user in of_user}
    for number in range(max(map(len, of_user.values()))):
        told: list[dict[str, Any]] = []
        asked = []
        for user in [user for user, requests in of_user.items() if len(requests) > number]:
            request = of_user[user][number]
            until = _first(events.timestamp, events.of(user), int(moments[request]))
            told += [_event(feedback, user, row) for row in range(next_event[user], until)]
            next_event[user] = max(until, next_event[user])
            instance = {
                "user_id": str(features.user_ids[user]),
                "k": min(int(lengths[request]), MAX_K),
                "deadline_ms": MAX_DEADLINE_MS,
            }
            asked.append((request, instance))
        yield told, asked


def _first(timestamp: NDArray[np.int64], rows: slice, moment: int) -> int:
    """The first of some rows, which are in the order of time, at or after a moment."""
    return int(rows.start) + int(np.searchsorted(timestamp[rows], moment))


def _event(feedback: Feedback, user: int, row: int) -> dict[str, Any]:
    """An event as the ``events`` model takes it."""
    features = feedback.features
    log, schema = features.interactions, features.schema
    code = int(log.event[row]) - 1
    event: dict[str, Any] = {
        "user_id": str(features.user_ids[user]),
        "item_id": str(features.item_ids[int(log.item[row])]),
        "event": schema.events[code],
        "timestamp": int(log.timestamp[row]),
    }
    full = schema.event_full_amounts[code]
    return event | {"amount": float(log.grade[row]) * full} if full else event
