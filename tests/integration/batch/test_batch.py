"""A batch: its lists are the endpoint's, for every kind of user, and nothing that is gone is in it."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.integration.batch.conftest import USERS, Batch, content, read
from winnow.release import Release
from winnow.request import Answer
from winnow.store.connection import connect
from winnow.store.keys import IMPRESSIONS


def test_the_lists_of_all_users_are_those_of_the_endpoint(
    batch: Batch, ask: Callable[..., Answer], release: Release, redis_url: str, tmp_path: Path
) -> None:
    with connect(redis_url) as client:
        logged = client.xlen(IMPRESSIONS)
        done = batch(tmp_path)
        assert client.xlen(IMPRESSIONS) == logged
    assert (done.users, done.computed, done.skipped, done.degraded, done.left_out) == (USERS, USERS, 0, 0, 0)
    rows = content(tmp_path)
    assert [row["user_id"] for row in rows] == release.array("user_ids").tolist()
    for row in rows[::10]:
        items = ask(row["user_id"])["items"]
        assert row["item_ids"] == [item["item_id"] for item in items]
        assert row["scores"] == [item["score"] for item in items]
    assert {row["release"] for row in rows} == {release.manifest.number}
    said = json.loads((tmp_path / "_SUCCESS").read_text())
    assert said["users"] == USERS
    assert read(tmp_path).schema.field("computed_at").type.tz == "UTC"
