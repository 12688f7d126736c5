"""What changed since the release was built: deleted items, erased and merged users, degraded answers."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.integration.batch.conftest import PART, USERS, Ask, Batch, content
from winnow import protocols
from winnow.batch import parts
from winnow.batch.computation import Computation
from winnow.batch.messages import Answers, UserAnswer
from winnow.batch.workers import Workers
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.keys import Keys
from winnow.users.attributes import Attributes
from winnow.users.erase import erase
from winnow.users.merge import merge

COMPLETE, LATE = UserAnswer(["a"], [0.5], [], 1), UserAnswer(["b"], [0.25], ["ranker: TimeoutError"], 2)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with connect(redis_url) as connected:
        yield connected


def test_a_deleted_item_is_in_no_list(batch: Batch, ask: Ask, endpoint: httpx.Client, tmp_path: Path) -> None:
    batch(tmp_path / "before")
    gone = content(tmp_path / "before")[0]["item_ids"][0]
    protocols.add_items(endpoint, [{"action": "delete", "item_id": gone}])
    batch(tmp_path / "after")
    rows = content(tmp_path / "after")
    assert len(rows) == USERS
    assert not any(gone in row["item_ids"] for row in rows)
    for row in rows[::10]:
        assert row["item_ids"] == [item["item_id"] for item in ask(row["user_id"])["items"]]


def test_erased_and_merged_users_are_left_out_unless_they_came_back(
    batch: Batch, release: Release, client: Redis, tmp_path: Path
) -> None:
    known = release.array("user_ids").tolist()
    batch(tmp_path / "all")
    erase(client, known[4])
    merge(client, release, Attributes(client, release), known[5], known[6])
    assert batch(tmp_path / "later").users == USERS - 2
    # Who was erased after the list was made is left out of what is computed from then on.
    (tmp_path / "all" / "part-00000.parquet").unlink()
    again = batch(tmp_path / "all")
    assert (again.users, again.left_out, again.computed, again.skipped) == (USERS - 2, 2, PART - 2, USERS - PART)
    for name in ("all", "later"):
        assert [row["user_id"] for row in content(tmp_path / name)] == [*known[:4], *known[6:]]

    (tmp_path / "some.txt").write_text("\n".join(known[3:7]))
    batch(tmp_path / "some", users=str(tmp_path / "some.txt"))
    assert [row["user_id"] for row in content(tmp_path / "some")] == [known[3], known[6]]
    client.set(Keys(release.manifest.number).user_row(known[4]), release.array("user_rows")[4].tobytes())
    batch(tmp_path / "back", users=str(tmp_path / "some.txt"))
    assert [row["user_id"] for row in content(tmp_path / "back")] == [known[3], known[4], known[6]]

    (tmp_path / "none.txt").write_text(known[5])
    with pytest.raises(WinnowError, match="no users to recommend for: all of them are erased or merged"):
        batch(tmp_path / "none", users=str(tmp_path / "none.txt"))


def test_degraded_answers_are_asked_for_again_and_never_hidden(
    batch: Batch, release: Release, redis_url: str, tmp_path: Path
) -> None:
    batch(tmp_path)
    with Computation(release, redis_url, str(tmp_path), [1]) as computation:
        first, rest = list(computation.tasks()), [COMPLETE] * (PART - 3)
        assert [len(task.user_ids) for task in first] == [PART]
        assert computation.take(Answers(first[0].number, [LATE, LATE, LATE, *rest])) == PART
        repeated = computation.urgent.popleft()
        assert repeated.user_ids == first[0].user_ids[:3]
        assert computation.take(Answers(repeated.number, [COMPLETE, LATE, COMPLETE])) == 0
        assert not computation.urgent
        assert computation.finish() == {1: parts.Written(PART, 1)}
    assert [row["degraded"] for row in content(tmp_path)[PART : PART + 3]] == [[], LATE.degraded, []]
    # The next run computes that part again.
    done = batch(tmp_path)
    assert (done.users, done.computed, done.degraded) == (done.skipped + PART, PART, 0)
    assert not any(row["degraded"] for row in content(tmp_path))


def test_where_all_answers_are_degraded_nothing_is_written(batch: Batch, tmp_path: Path) -> None:
    with pytest.raises(
        WinnowError, match=r"^answers are degraded \(\w+: [\w ]+\): run the command again, which continues"
    ):
        batch(tmp_path, predictor="127.0.0.1:9", workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_batch.json", "_users"]
    assert batch(tmp_path).degraded == 0


def test_a_release_that_redis_lacks_and_models_that_are_missing_are_named(
    batch: Batch, client: Redis, release: Release, tmp_path: Path
) -> None:
    with pytest.raises(WinnowError, match="name the model repository of release"):
        batch(tmp_path, predictor=tmp_path / "nothing")
    key = Keys(release.manifest.number).manifest
    held = client.getdel(key)
    assert isinstance(held, bytes)
    try:
        with pytest.raises(ReleaseMismatch, match="holds no release"):
            batch(tmp_path / "other")
    finally:
        client.set(key, held)


def test_a_worker_that_is_killed_is_named(release: Release, repository: Path, redis_url: str) -> None:
    flags = [f"--release-dir={release.folder}", f"--model-repository={repository}", "--k=3"]
    with Workers(flags, redis_url, 1) as workers:
        workers._workers[0].child.kill()
        with pytest.raises(WinnowError, match=r"a worker ended by itself \(exit code -9\): run the command again"):
            list(workers.answers(iter(()), deque()))
