"""Two hundred hostile inputs against the real server: each is refused by the name of its field, and nothing grows."""

from typing import Any

import httpx

from benchmarks.hostile import COUNT, RSS_MB, hostile, resident_mb, send


def test_hostile_media_are_refused_and_leave_the_server_as_it_was(server: Any, picture: Any, sound: Any) -> None:
    refused, wrong = 0, []
    with httpx.Client(base_url=server.url, trust_env=False) as endpoint:
        for _ in range(10):
            assert server.v1({"query": {"image": picture(), "audio": sound()}})[0] == 200
        before = resident_mb(endpoint)
        for call in hostile():
            answer = send(endpoint, call)
            reason = answer.json().get("error", "")
            if not (400 <= answer.status_code < 500 and reason.startswith(call.field) and ": " in reason):
                wrong.append((call.name, answer.status_code, reason[:200]))
            refused += 1
        assert resident_mb(endpoint) - before <= RSS_MB
    assert wrong == []
    assert refused == COUNT
    assert server.v1({"user_id": "user-3"})[0] == 200
    assert server.process.poll() is None
