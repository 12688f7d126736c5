"""The client against an HTTP server that refuses, answers or does neither."""

import asyncio
import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from winnow.client import (
    AsyncWinnow,
    EndpointError,
    InvalidCall,
    NoAnswer,
    NotAllowed,
    NotAuthenticated,
    TooManyCalls,
    Unavailable,
    Winnow,
)
from winnow.client.calls import Choices
from winnow.request import RecommendRequest

Reply = tuple[int, dict[str, Any], dict[str, str]]

STORED = {"predictions": [{"stream_id": "1-0", "duplicate": False}]}
EVENT: Any = {"user_id": "a", "item_id": "b", "event": "view"}


class Scripted(ThreadingHTTPServer):
    """Answers calls with the replies of a list, the last one again and again, and keeps what it received."""

    daemon_threads = True

    def __init__(self, replies: list[Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = replies
        self.received: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        number = min(len(self.server.received), len(self.server.replies)) - 1
        status, answer, headers = self.server.replies[number]
        text = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def scripted(*replies: Reply) -> Iterator[Scripted]:
    with Scripted(list(replies)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def refusal(status: int, **headers: str) -> Reply:
    return status, {"error": f"refused with {status}"}, headers


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again(status: int) -> None:
    with scripted(refusal(status), refusal(status), (200, STORED, {})) as server, Winnow(server.url) as winnow:
        receipt = winnow.send_event(EVENT)
    assert receipt == {"stream_id": "1-0", "duplicate": False}
    ids = [body["instances"][0]["event_id"] for _, _, body in server.received]
    assert len(ids) == 3
    assert len(set(ids)) == 1, "a repetition must not be stored as another event"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidCall), (401, NotAuthenticated), (403, NotAllowed), (404, EndpointError), (500, EndpointError)],
)
def test_other_refusals_are_raised_at_once(status: int, kind: type[EndpointError]) -> None:
    with (
        scripted(refusal(status)) as server,
        Winnow(server.url) as winnow,
        pytest.raises(kind, match=f"^{status}: refused with {status}$") as caught,
    ):
        winnow.recommend("a")
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert len(server.received) == 1


@pytest.mark.parametrize(("status", "kind"), [(429, TooManyCalls), (503, Unavailable)])
def test_retries_end(status: int, kind: type[EndpointError]) -> None:
    with scripted(refusal(status)) as server, Winnow(server.url, retries=2) as winnow, pytest.raises(kind):
        winnow.recommend("a")
    assert len(server.received) == 3


def test_an_endpoint_that_is_away_is_not_asked_again() -> None:
    with scripted(refusal(503)) as server:
        url = server.url
    with Winnow(url) as winnow:
        with pytest.raises(NoAnswer, match=url):
            winnow.recommend("a")
        assert not winnow.ready()


def test_an_answer_that_is_no_json_is_quoted() -> None:
    with (
        scripted((502, {}, {})) as server,
        Winnow(server.url) as winnow,
        pytest.raises(EndpointError, match=r"^502: "),
    ):
        winnow.recommend("a")


def test_the_key_is_sent() -> None:
    with scripted((200, STORED, {})) as server:
        with Winnow(server.url, api_key="secret") as winnow:
            winnow.send_event(EVENT)
        with Winnow(server.url) as winnow:
            winnow.send_event(EVENT)
    sent = [headers.get("authorization") for _, headers, _ in server.received]
    assert sent == ["Bearer secret", None]


def test_media_are_read_from_files_and_bytes(tmp_path: Path) -> None:
    image = tmp_path / "lamp.jpg"
    image.write_bytes(b"\xff\xd8")
    with scripted((200, {"predictions": [{}]}, {})) as server, Winnow(server.url) as winnow:
        winnow.search(image=image, audio=b"\x00", k=3)
        winnow.put_item({"item_id": "a", "image": image, "price": None})
    (_, _, searched), (_, _, put) = server.received
    assert searched["instances"] == [{"query": {"image": {"b64": "/9g="}, "audio": {"b64": "AA=="}}, "k": 3}]
    assert put["instances"] == [{"item_id": "a", "image": {"b64": "/9g="}, "price": None}]


def test_both_clients_send_the_same() -> None:
    arguments = {
        "user_id": "u",
        "into": "v",
        "item_id": "i",
        "item_ids": ["i", "j"],
        "items": [{"item_id": "i"}],
        "item": {"item_id": "i"},
        "requests": [{"user_id": "u"}],
        "answer": {"recommendation_id": "r"},
        "event": EVENT | {"event_id": "e"},
        "events": [EVENT | {"event_id": "e"}],
        "attributes": {"country": "NL"},
        "name": "popular",
        "text": "lamp",
    }
    calls = [
        (name, {a: arguments[a] for a in inspect.signature(method).parameters if a in arguments})
        for name, method in vars(Winnow).items()
        if not name.startswith("_") and name not in ("close", "ready")
    ]
    with scripted((200, {"predictions": [{}]}, {})) as server:
        with Winnow(server.url) as winnow:
            for name, given in calls:
                getattr(winnow, name)(**given)
        by_sync, server.received = [(path, body) for path, _, body in server.received], []

        async def ask() -> None:
            async with AsyncWinnow(server.url) as winnow:
                for name, given in calls:
                    await getattr(winnow, name)(**given)

        asyncio.run(ask())
        by_async = [(path, body) for path, _, body in server.received]
    assert len(calls) > 20
    assert by_sync == by_async


def test_every_field_of_a_request_can_be_given() -> None:
    methods = {"user_id", "query", "items", "like", "relation", "rank", "list", "recommendation_id"}
    assert set(Choices.__annotations__) | methods == set(RecommendRequest.model_fields)
