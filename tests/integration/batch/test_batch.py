"""A batch: its lists are the endpoint's, for every kind of user."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.batch.conftest import PART, USERS, Ask, Batch, content, read
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.history import encode
from winnow.store.keys import IMPRESSIONS
from winnow.store.shared_state import state_of

GEORGIAN = "მომხმარებელი" * 21 + "აბგდ"
"""An id of 256 characters."""


def assert_equal(row: dict[str, Any], answer: Any) -> None:
    assert answer["degraded"] == row["degraded"] == []
    assert row["item_ids"] == [item["item_id"] for item in answer["items"]]
    assert row["scores"] == [item["score"] for item in answer["items"]]


def test_the_lists_of_all_users_are_those_of_the_endpoint(
    batch: Batch, ask: Ask, release: Release, redis_url: str, tmp_path: Path
) -> None:
    with connect(redis_url) as client:
        logged = client.xlen(IMPRESSIONS)
        done = batch(tmp_path, k=20)
        assert client.xlen(IMPRESSIONS) == logged
    assert (done.users, done.computed, done.skipped, done.degraded, done.left_out) == (USERS, USERS, 0, 0, 0)
    assert done.parts == -(-USERS // PART)
    rows = content(tmp_path)
    assert [row["user_id"] for row in rows] == release.array("user_ids").tolist()
    for row in rows:
        assert len(row["item_ids"]) == 20
        assert_equal(row, ask(row["user_id"], k=20))
    assert {row["release"] for row in rows} == {release.manifest.number}
    assert read(tmp_path).schema.field("computed_at").type.tz == "UTC"
    said = json.loads((tmp_path / "_SUCCESS").read_text())
    assert (said["users"], said["degraded"]) == (USERS, 0)


@pytest.mark.parametrize("ending", ["txt", "csv", "parquet"])
def test_the_users_of_a_file_come_once_and_in_its_order(
    batch: Batch, ask: Ask, release: Release, tmp_path: Path, ending: str
) -> None:
    assert len(GEORGIAN) == 256
    known = release.array("user_ids").tolist()
    ids = [known[3], "never seen", GEORGIAN, known[1], 'comma, "quote"', known[3], "00123"]
    file = tmp_path / f"users.{ending}"
    if ending == "txt":
        file.write_text("\n".join(ids) + "\n")
    elif ending == "csv":
        rows = ['name,"' + one.replace('"', '""') + '"' for one in ids]
        file.write_text("\n".join(["segment,user_id", *rows]))
    else:
        pq.write_table(pa.table({"user_id": ids, "segment": range(len(ids))}), file)
    done = batch(tmp_path / "out", users=str(file))
    rows = content(tmp_path / "out")
    assert [row["user_id"] for row in rows] == list(dict.fromkeys(ids))
    assert done.users == 6
    for row in rows:
        assert_equal(row, ask(row["user_id"]))


def test_one_user(batch: Batch, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("somebody")
    assert batch(tmp_path / "out", users=str(tmp_path / "one.txt"), workers=0).users == 1
    [row] = content(tmp_path / "out")
    assert_equal(row, ask("somebody"))


def test_users_that_came_after_the_build_are_in_it(
    batch: Batch, ask: Ask, release: Release, redis_url: str, tmp_path: Path
) -> None:
    state, newcomers = state_of(release), ["zoë", "}:history"]
    entry = encode(release.manifest.as_of + 1, 1, release.strings("item_ids")[7])
    with connect(redis_url) as client:
        for user_id in newcomers:
            client.lpush(state.history(user_id), entry)
        try:
            batch(tmp_path)
            rows = content(tmp_path)
            assert [row["user_id"] for row in rows] == [*release.array("user_ids").tolist(), *newcomers]
            for row in rows[-2:]:
                assert_equal(row, ask(row["user_id"]))
        finally:
            client.delete(*map(state.history, newcomers))


def test_a_condition_applies_as_at_the_endpoint(batch: Batch, ask: Ask, tmp_path: Path) -> None:
    where = "price < 300"
    batch(tmp_path, where=where)
    for row in content(tmp_path)[::9]:
        assert_equal(row, ask(row["user_id"], filters={"where": where}))
    with pytest.raises(WinnowError, match=r"^where: .*'prize'.*price"):
        batch(tmp_path / "other", where="prize < 300")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("empty.txt", "", "has no users"),
        (
            "control.txt",
            "fine\nnot\x01fine\n",
            r"row 2: user_id must be free of control characters, got 'not\\x01fine'",
        ),
        ("long.txt", "x" * 257, r"row 1: user_id must be a string of 1 to 256 characters, got .*257 characters"),
        ("gap.csv", 'user_id\nu1\n""\n', "row 2: user_id must be a string of 1 to 256 characters"),
        ("other.csv", "user\nu1\n", "must be Parquet .* with a column user_id"),
        ("broken.parquet", "no Parquet", "must be Parquet .* with a column user_id"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_written(
    batch: Batch, tmp_path: Path, name: str, written: str, message: str
) -> None:
    (tmp_path / name).write_text(written)
    with pytest.raises(WinnowError, match=message):
        batch(tmp_path / "out", users=str(tmp_path / name))
    assert not (tmp_path / "out").exists()


def test_other_settings_and_other_files_are_refused(batch: Batch, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(name)
    out, users = tmp_path / "out", str(tmp_path / "one.txt")
    batch(out, users=users)
    with pytest.raises(WinnowError, match=r"other settings: k 5, not 6\. Give its settings .* another folder"):
        batch(out, users=users, k=6)
    with pytest.raises(WinnowError, match=r"where '', not 'price < 9', users of the file \w+, not all"):
        batch(out, where="price < 9")
    with pytest.raises(WinnowError, match=r"users of the file \w+, not of the file"):
        batch(out, users=str(tmp_path / "two.txt"))
    with pytest.raises(WinnowError, match="k: must be between 1 and 500, got 501"):
        batch(out, k=501)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "sales.parquet").touch()
    with pytest.raises(WinnowError, match=r"has Parquet files, but no _batch\.json"):
        batch(foreign)
