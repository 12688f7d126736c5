"""Hostile pictures and sounds: each is refused by the name of its field, and the server's memory does not grow."""

from typing import Any

import httpx
import pytest

from tests.support.faults.hostile_media import COUNT, RSS_MB, hostile_calls, refused, resident_mb, send
from tests.support.media import picture, sound


@pytest.mark.slow
def test_hostile_media_are_refused_and_leave_the_server_unchanged(server: Any) -> None:
    sent, wrong = 0, []
    with httpx.Client(base_url=server.url, trust_env=False) as endpoint:
        for _ in range(10):
            assert server.v1({"query": {"image": picture(), "audio": sound()}})[0] == 200
        before = resident_mb(endpoint)
        for call in hostile_calls():
            answer = send(endpoint, call)
            if not refused(call, answer):
                wrong.append((call.name, answer.status_code, answer.text[:200]))
            sent += 1
        assert resident_mb(endpoint) - before <= RSS_MB
    assert wrong == []
    assert sent == COUNT
    assert server.v1({"user_id": "user-3"})[0] == 200
    assert server.process.poll() is None
