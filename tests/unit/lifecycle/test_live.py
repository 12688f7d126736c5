"""The pin of a home in a folder; tests/integration/lifecycle has it on S3 and with killed writers."""

import shutil
from pathlib import Path

import pytest

from tests.support.lifecycle.homes import add_release
from tests.support.tiny_release import write_release
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.lifecycle.live import KEPT, live, promote, rollback


def test_without_a_promotion_no_release_is_live(tmp_path: Path) -> None:
    assert live(str(tmp_path)) is None
    with pytest.raises(WinnowError, match="has no previous release to go back to"):
        rollback(str(tmp_path))


def test_rollbacks_go_back_through_the_releases_that_were_live(tmp_path: Path) -> None:
    home = str(tmp_path)
    for number in (1, 2, 3):
        add_release(tmp_path, number)
    first = promote(home, 1)
    assert (first.release, first.previous) == (1, None)
    assert promote(home, 1) == first, "a live release stays live since when it was"
    promote(home, 2)
    third = promote(home, 3)
    assert (third.release, third.previous, third.reachable) == (3, 2, (2, 1))
    assert third == live(home)
    assert [rollback(home).release for _ in range(2)] == [2, 1]
    with pytest.raises(WinnowError, match="no previous release"):
        rollback(home)
    # A release that is promoted again appears once.
    promote(home, 2)
    promote(home, 1)
    assert promote(home, 2).reachable == (1,)


def test_a_bounded_number_of_releases_lies_behind_the_live_one(tmp_path: Path) -> None:
    for number in range(1, KEPT + 4):
        add_release(tmp_path, number)
        promote(str(tmp_path), number)
    pin = live(str(tmp_path))
    assert pin is not None
    assert pin.reachable == tuple(range(KEPT + 2, 2, -1))


@pytest.mark.parametrize(
    "damaged",
    ["releases/2/item_rows.npy", "model_repository/2/ranker/2/model.onnx", "model_repository/2/ranker/config.pbtxt"],
)
@pytest.mark.parametrize("lost", [True, False])
def test_a_release_that_is_not_whole_is_not_promoted(tmp_path: Path, damaged: str, lost: bool) -> None:
    for number in (1, 2):
        add_release(tmp_path, number)
    before = promote(str(tmp_path), 1)
    path = tmp_path / damaged
    path.write_bytes(b"" if not lost else b"x")
    if lost:
        path.unlink()
    with pytest.raises(ReleaseMismatch, match=rf"{damaged} is missing or has changed since release 2 was built"):
        promote(str(tmp_path), 2)
    assert live(str(tmp_path)) == before


def test_an_array_beside_a_graph_is_checked(tmp_path: Path) -> None:
    release = add_release(tmp_path, 1)
    path = tmp_path / "model_repository/1/retriever/1/item_vectors.npy"
    shutil.copy(release.folder / path.name, path)
    promote(str(tmp_path), 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReleaseMismatch, match=r"item_vectors\.npy is missing or has changed"):
        promote(str(tmp_path), 1)


def test_what_cannot_be_live_is_named(tmp_path: Path) -> None:
    add_release(tmp_path, 1)
    write_release(tmp_path / "releases", 2, holdout="last")
    with pytest.raises(WinnowError, match="has no release 7: `winnow releases` lists"):
        promote(str(tmp_path), 7)
    with pytest.raises(WinnowError, match="release 2 was built with --holdout last"):
        promote(str(tmp_path), 2)
    (tmp_path / "live.json").write_text("{}")
    with pytest.raises(WinnowError, match=r"live\.json does not name a live release \(Field required\): remove it"):
        promote(str(tmp_path), 1)


def test_a_rollback_does_not_lead_to_a_release_that_is_gone(tmp_path: Path) -> None:
    for number in (1, 2):
        add_release(tmp_path, number)
        promote(str(tmp_path), number)
    shutil.rmtree(tmp_path / "releases" / "1")
    before = live(str(tmp_path))
    with pytest.raises(WinnowError, match="has no release 1"):
        rollback(str(tmp_path))
    assert live(str(tmp_path)) == before
