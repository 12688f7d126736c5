"""A served release assigns users to arms by the documented hash, in all protocols, and logs the arms."""

import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.paths import ROOT
from winnow import protocols
from winnow.feedback import export_files
from winnow.feedback.export_files import IMPRESSION_TABLE
from winnow.release import Release
from winnow.request import Answer
from winnow.store.connection import connect
from winnow.store.keys import IMPRESSIONS

FILE = """
experiments:
  - name: similar
    arms:
      - {name: control, share: 0.5, defaults: {diversity: 0.0}}
      - {name: diverse, share: 0.5, defaults: {diversity: 1.0}}
  - name: sales
    arms:
      - {name: control, share: 0.8}
      - {name: bold, share: 0.2, defaults: {objectives: {buy: 9}, repeats: allow}}
"""
KNOWN = [f"user-{n}" for n in range(20)]
UNKNOWN = [f"visitor-{n}" for n in range(44)]


def documented(experiment: str, user: str, first: str, second: str, share: float) -> str:
    """The arm as docs/reference.md defines it, written out."""
    return first if int(sha256(f"{experiment}:{user}".encode()).hexdigest()[:16], 16) / 2**64 < share else second


def arms(user: str) -> dict[str, str]:
    return {
        "similar": documented("similar", user, "control", "diverse", 0.5),
        "sales": documented("sales", user, "control", "bold", 0.8),
    }


def items(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_arms_of_many_users_are_the_documented_ones_and_are_logged(
    serve_published: Any, published: Release, redis_url: str, tmp_path: Path
) -> None:
    declared, users = tmp_path / "experiments.yaml", KNOWN + UNKNOWN
    declared.write_text(FILE)
    with closing(connect(redis_url)) as redis:
        redis.delete(IMPRESSIONS)
    asked = [{"user_id": user, "k": 5, "deadline_ms": 10_000} for user in users]
    serving = serve_published(experiments=str(declared), reuse_s=60.0)
    with serving as server, protocols.http(server.ports[0]) as http, protocols.grpc(server.ports[1]) as grpc:
        v1 = protocols.over_http_v1(http, asked)
        others = [
            protocols.over_http_v2(http, asked),
            protocols.over_grpc(grpc, asked),
            protocols.over_http_v1(http, asked),
        ]
        # The same requests with what the arms set: the lists are the same.
        written = [one | {"diversity": float(arms(one["user_id"])["similar"] == "diverse")} for one in asked]
        stated = protocols.over_http_v1(http, written)
        own = protocols.over_http_v1(http, [one | {"diversity": 1.0} for one in asked])
        bold = next(user for user in KNOWN if arms(user)["sales"] == "bold")
        [traced] = protocols.over_http_v1(http, [{"user_id": bold, "debug": True}])
        [search] = protocols.over_http_v1(http, [{"query": {"text": "a red ball"}}])
    for answers in (v1, *others):
        assert [answer["arms"] for answer in answers] == [arms(user) for user in users]
    assert [items(answer) for answer in stated] == [items(answer) for answer in v1]
    # A request's own value overrides the arm's, and the user stays in it.
    assert [answer["arms"] for answer in own] == [arms(user) for user in users]
    pairs = list(zip(users, v1, own, strict=True))
    assert all(items(mine) == items(other) for user, mine, other in pairs if arms(user)["similar"] == "diverse")
    assert any(items(mine) != items(other) for user, mine, other in pairs if arms(user)["similar"] == "control")
    assert traced["trace"]["repeats"] == "allow"
    assert traced["trace"]["objectives"]["buy"] == 9.0
    assert "arms" not in search
    # Visitors without data share the answers of their arms, and no others.
    lists: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for user, answer in zip(users, v1, strict=True):
        if user in UNKNOWN:
            lists[tuple(arms(user).values())].add(tuple(items(answer)))
    assert [len(found) for found in lists.values()] == [1] * 4
    assert lists["control", "control"] != lists["diverse", "control"]
    assert all("reused_ms" in answer for answer in others[-1])
    logged = exported(redis_url, tmp_path / "log")
    assert len(logged) == 6 * len(users) + 2
    assert {user: found for user, found in logged if user is not None} == {user: arms(user) for user in users}
    assert [found for user, found in logged if user is None] == [{}]


def exported(redis_url: str, folder: Path) -> list[tuple[str | None, dict[str, str]]]:
    """User and arms of every row of the Parquet file of all impressions."""
    with closing(connect(redis_url)) as redis:
        rows = [row for entry in redis.xrange(IMPRESSIONS) if (row := IMPRESSION_TABLE.row(entry))]
    table = pq.read_table(export_files.write(str(folder), IMPRESSION_TABLE, rows))
    return [
        (user, {one["experiment"]: one["arm"] for one in found})
        for user, found in zip(table["user_id"].to_pylist(), table["arms"].to_pylist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILE.replace("0.8", "0.9"), "experiments[1].arms: the shares of the arms must add up to 1, got 1.1"),
        (FILE.replace("buy", "bye"), "'bye', which is not an event type of the release: it has view, buy, dislike"),
    ],
)
def test_a_wrong_file_stops_the_start(text: str, message: str, release: Release, tmp_path: Path) -> None:
    declared = tmp_path / "experiments.yaml"
    declared.write_text(text)
    command = [sys.executable, "-m", "recommender_transformer", f"--release-dir={release.folder}"]
    run = subprocess.run(
        [*command, "--predictor_host=127.0.0.1:1", f"--experiments={declared}"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
