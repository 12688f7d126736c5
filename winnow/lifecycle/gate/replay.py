"""Replay: requests that were answered once are answered again, and two releases' lists are compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from winnow import protocols
from winnow.errors import WinnowError
from winnow.lifecycle.gate.requests import LoggedRequest
from winnow.lifecycle.gate.rules import ReplayRules
from winnow.lifecycle.verdict import Check
from winnow.release import Release
from winnow.request import MAX_DEADLINE_MS


@dataclass
class Replayed:
    """The answers of a release.

    Attributes:
        lists: item ids of each request's answer, best first; ``None`` where the request failed.
        errors: messages of the failed requests.
        degraded: parts that an answer was made without -> answers.
    """

    lists: list[list[str] | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    degraded: dict[str, int] = field(default_factory=dict)


def replay(port: int, requests: Sequence[LoggedRequest], show_progress: bool) -> Replayed:
    """Send requests to an endpoint on this machine, one after another.

    Args:
        port: HTTP port of the endpoint.
        requests: the requests.
        show_progress: show a bar.
    """
    result = Replayed()
    with protocols.http(port) as endpoint:
        for request in tqdm(requests, desc="replay requests", leave=False, disable=not show_progress):
            instance: protocols.Instance = {"user_id": request.user_id, "k": request.k, "deadline_ms": MAX_DEADLINE_MS}
            try:
                [answer] = protocols.over_http_v1(endpoint, [instance])
            except WinnowError as error:
                result.lists.append(None)
                result.errors.append(f"user {request.user_id}: {error}")
                continue
            result.lists.append([item["item_id"] for item in answer["items"]])
            for part in answer["degraded"]:
                result.degraded[part] = result.degraded.get(part, 0) + 1
    return result


def checks(
    requests: Sequence[LoggedRequest], ours: Replayed, theirs: Replayed | None, live: Release | None, rules: ReplayRules
) -> Iterator[Check]:
    """The checks of a replay.

    Args:
        requests: the replayed requests.
        ours: the release's answers to them.
        theirs: the live release's answers; ``None`` without a live release.
        live: the live release.
        rules: what must hold.
    """
    yield _errors(ours, len(requests))
    yield _empty(requests, ours)
    if theirs is not None and live is not None:
        yield _overlap(ours, theirs, live, rules)


def _errors(ours: Replayed, count: int) -> Check:
    name, failed = "replay: errors", len(ours.errors)
    if failed:
        message = f"{failed:,} of {count:,} requests failed, such as {ours.errors[0]}"
        return Check(name=name, passed=False, value=failed, bound=0.0, message=message)
    if ours.degraded:
        parts = ", ".join(f"{part} ({answers:,})" for part, answers in sorted(ours.degraded.items()))
        message = f"of {count:,} answers, some were made without parts of the funnel: {parts}"
        return Check(name=name, passed=False, value=sum(ours.degraded.values()), bound=0.0, message=message)
    return Check(name=name, passed=True, value=0.0, bound=0.0, message=f"{count:,} requests were answered in full")


def _empty(requests: Sequence[LoggedRequest], ours: Replayed) -> Check:
    empty = [request.user_id for request, items in zip(requests, ours.lists, strict=True) if items == []]
    message = f"{len(empty):,} of {len(requests):,} lists are empty" + (f", such as user {empty[0]}'s" if empty else "")
    # A user who has met the whole catalog may get nothing; that all lists are empty has another cause.
    passed = len(empty) < len(requests)
    return Check(name="replay: empty lists", passed=passed, value=len(empty), bound=len(requests) - 1, message=message)


def _overlap(ours: Replayed, theirs: Replayed, live: Release, rules: ReplayRules) -> Check:
    name, number = "replay: overlap", live.manifest.number
    pairs = [(a, b) for a, b in zip(ours.lists, theirs.lists, strict=True) if a is not None and b is not None]
    shared = [len({*a} & {*b}) / max(len(a), len(b)) if a or b else 1.0 for a, b in pairs]
    if not shared:
        return Check(name=name, passed=False, message=f"no request was answered by both, this release and {number}")
    mean = sum(shared) / len(shared)
    message = f"{mean:.1%} of a list are in release {number}'s list too, over {len(shared):,} requests"
    passed = mean >= rules.smallest_overlap
    ending = "" if passed else f"; at least {rules.smallest_overlap:.1%} must be"
    return Check(name=name, passed=passed, value=mean, bound=rules.smallest_overlap, message=message + ending)
