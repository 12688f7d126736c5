"""A load to generate: what is sent, and when."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.protocols import v2_body

K = 10

_HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
_PATHS = {"v1": "/v1/models/recommender:predict", "v2": "/v2/models/recommender/infer"}

_CYCLES = 20
"""Variants of each user's request: with 300 users, more requests than a server answers while it may reuse an answer."""

_REPEATED_AFTER = 8
"""Thirds of the stream between a request and its repetition: longer ago than any client waits for an answer."""


@dataclass(frozen=True)
class Plan:
    """A load to generate.

    Attributes:
        ports: HTTP ports of the endpoints; requests rotate among them.
        users: ids of the requests, in rotation.
        seconds: duration of the load.
        rate: requests a second at random times (a Poisson process); 0 for a closed loop of ``clients``.
        clients: with ``rate`` 0, the number of clients that send one request after another.
        tries: attempts per request; it is repeated without an answer or after a 503.
        fields: further fields of every request.
        protocol: ``v1`` or ``v2``, over HTTP.
        distinct: whether the same request comes again only after all users had their turn :data:`_CYCLES` times. The
            requests of a user then differ in ``deadline_ms``, of which ``fields`` has the lowest.
        prepared: JSON file with a list of whole HTTP requests to send instead, to another server.
        repeats: whether every third request repeats one that was sent :data:`_REPEATED_AFTER` times three before it.
    """

    ports: Sequence[int]
    users: Sequence[str]
    seconds: float
    rate: float = 0.0
    clients: int = 8
    tries: int = 1
    fields: dict[str, Any] | None = None
    protocol: str = "v1"
    distinct: bool = False
    repeats: bool = False
    prepared: str = ""


def stream(plan: Plan) -> Callable[[int], bytes]:
    """The content of a plan's request, given its position."""
    contents = _contents(plan)
    if not plan.repeats:
        return lambda request: contents[request % len(contents)]

    def with_repeats(request: int) -> bytes:
        third, place = divmod(request, 3)
        earlier = _REPEATED_AFTER if place == 2 else 0
        return contents[(2 * (third - earlier) + place % 2) % len(contents)]

    return with_repeats


def _contents(plan: Plan) -> list[bytes]:
    if plan.prepared:
        return [content.encode() for content in json.loads(Path(plan.prepared).read_text())]
    fields = plan.fields or {}
    if not plan.distinct:
        return [_content({"user_id": user, "k": K, **fields}, plan.protocol) for user in plan.users]
    return [
        _content({"user_id": user, "k": K, **fields, "deadline_ms": fields["deadline_ms"] + cycle}, plan.protocol)
        for cycle in range(_CYCLES)
        for user in plan.users
    ]


def _content(request: dict[str, Any], protocol: str) -> bytes:
    body = {"instances": [request]} if protocol == "v1" else v2_body([request])
    content = json.dumps(body).encode()
    return _HEAD.format(path=_PATHS[protocol], length=len(content)).encode() + content
