"""Requests and events to a served release."""

from typing import Any

import httpx

from winnow import protocols
from winnow.errors import WinnowError
from winnow.request import Answer

_BATCH = 16
_PATIENCE_MS = 10_000
"""A long deadline: on a busy machine, a short one would measure the fallbacks."""


def ask(endpoint: httpx.Client, users: list[str], k: int, **fields: Any) -> list[Answer]:
    """The recommendations of each user.

    Args:
        endpoint: a client.
        users: ids.
        k: number of items.
        fields: further fields of the request.

    Raises:
        WinnowError: an answer was degraded, or the endpoint refused.
    """
    answers: list[Answer] = []
    for start in range(0, len(users), _BATCH):
        batch = users[start : start + _BATCH]
        instances = [{"user_id": user, "k": k, "deadline_ms": _PATIENCE_MS, **fields} for user in batch]
        answers += protocols.over_http_v1(endpoint, instances)
    for answer in answers:
        if answer["degraded"]:
            raise WinnowError(f"the funnel was degraded while it was measured: {answer['degraded']}")
    return answers


def item_ids(answer: Answer) -> list[str]:
    """The items of an answer, best first."""
    return [item["item_id"] for item in answer["items"]]


def send(endpoint: httpx.Client, user: str, items: list[str], event: str) -> None:
    """Send one event of a user with each item.

    Raises:
        WinnowError: the events were not acknowledged.
    """
    instances = [{"user_id": user, "item_id": item, "event": event} for item in items]
    answer = endpoint.post("/v1/models/events:predict", json={"instances": instances})
    if answer.status_code != httpx.codes.OK:
        raise WinnowError(f"events were not acknowledged: {answer.status_code} {answer.text}")
