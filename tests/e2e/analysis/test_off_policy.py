"""A release that was served with exploration is evaluated on its own impressions: the estimate is what it earned."""

import json
import time
from pathlib import Path
from zlib import crc32

import pytest

from winnow import protocols
from winnow.feedback.export import export
from winnow.local import redis
from winnow.local.stack import Stack
from winnow.ports import Ports

EXPLORE, K, USERS, ROUNDS = 0.1, 3, 80, 4


def takes(user: str, item: str) -> bool:
    """Whether a user takes an item that is shown, which is all that matters here."""
    return crc32(f"{user} {item}".encode()) % 3 == 0


def test_a_release_earns_what_its_own_log_says(winnow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(winnow.home))
    release, ports, log = winnow.release(), Ports.free(), tmp_path / "events"
    users = release.array("user_ids")[:USERS].tolist()
    event, value = release.schema.events[0], release.schema.event_values[0]
    earned, explored = [], 0
    state_dir = tmp_path / "stack"
    stack = Stack(
        1, ports, predictor="embedded", state_dir=state_dir, reuse_s=0.0, explore=EXPLORE, show_progress=False
    )
    with stack, protocols.http(ports.http) as http, protocols.grpc(ports.grpc) as grpc:
        # Users act between their requests, so that the lists of a replay without these events would be others.
        for _ in range(ROUNDS):
            events = []
            for start in range(0, USERS, 16):
                part = users[start : start + 16]
                answers = protocols.over_grpc(grpc, [{"user_id": user, "k": K, "deadline_ms": 10_000} for user in part])
                for user, answer in zip(part, answers, strict=True):
                    assert answer["degraded"] == []
                    taken = [item["item_id"] for item in answer["items"] if takes(user, item["item_id"])]
                    events += [{"user_id": user, "item_id": item, "event": event} for item in taken]
                    explored += "explored" in answer
                    if "explored" not in answer:
                        earned.append(value * len(taken))
            time.sleep(0.01)
            for start in range(0, len(events), 64):
                protocols.send_events(http, events[start : start + 64])
            time.sleep(0.01)
        time.sleep(0.2)
        export(str(log), redis.url(ports.redis), show_progress=False)
    assert 0.03 < explored / (ROUNDS * USERS) < 0.2

    done = winnow("off-policy", "1", f"--log={log}", f"--objective={event}", "--predictor=embedded", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    # The stack's own first request is an impression, too.
    assert found["requests"] in (ROUNDS * USERS, ROUNDS * USERS + 1)
    assert found["users"] == USERS
    # All that the log shows without exploration is what the replay shows: then the weights add up to the slots.
    share = 1 - EXPLORE + EXPLORE / (2 * K)
    assert found["support"]["covered"]["value"] == pytest.approx((1 - explored / (ROUNDS * USERS)) / share, abs=0.1)
    assert found["support"]["refusals"] == []
    truth = sum(earned) / len(earned)
    for name, estimate in found["estimates"].items():
        assert estimate["low"] <= truth <= estimate["high"], name
        assert estimate["high"] - estimate["low"] < truth
