"""Old releases: which may be removed, what that frees, and what an interrupted removal leaves."""

from pathlib import Path

import pytest

from tests.support.lifecycle.homes import add_release
from tests.support.tiny_release import write_release
from winnow import files
from winnow.errors import WinnowError
from winnow.lifecycle.collection import collectable, remove, stored
from winnow.lifecycle.live import live, promote


def numbers_of(home: Path, served: tuple[int, ...], keep: int) -> list[int]:
    return [release.number for release in collectable(stored(str(home)), live(str(home)), served, keep)]


def test_the_newest_of_each_kind_and_what_is_in_use_are_kept(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4, 6, 8):
        add_release(tmp_path, number)
    for number in (5, 7):
        write_release(tmp_path / "releases", number, holdout="last")
    # A build in progress: models, and no manifest yet.
    (tmp_path / "model_repository" / "9" / "ranker" / "9").mkdir(parents=True)
    (tmp_path / "releases" / ".9.1.partial").mkdir()
    assert numbers_of(tmp_path, (), keep=2) == [1, 2, 3, 4]
    assert numbers_of(tmp_path, (), keep=1) == [1, 2, 3, 4, 5, 6]
    promote(str(tmp_path), 1)
    promote(str(tmp_path), 3)
    assert numbers_of(tmp_path, (2,), keep=1) == [4, 5, 6]


def test_a_removal_frees_its_size_and_leaves_no_file(tmp_path: Path) -> None:
    for number in (1, 2):
        release = add_release(tmp_path, number)
        # As exports do: an array beside the graph is a link to the release's.
        beside = tmp_path / f"model_repository/{number}/ranker/{number}/item_rows.npy"
        beside.hardlink_to(release.folder / "item_rows.npy")
    files.write(str(tmp_path / "evaluations" / "1" / "record.json"), b"{}")
    first, second = stored(str(tmp_path))
    parts = ("releases", "model_repository", "evaluations")
    places = [path for part in parts for path in (tmp_path / part).rglob("*") if path.is_file()]
    inodes = {path.stat().st_ino: path.stat().st_size for path in places}
    assert first.size + second.size == sum(inodes.values())
    remove(str(tmp_path), 1)
    left = {path for part in parts for path in (tmp_path / part).rglob("*") if path.is_file()}
    assert sum({path.stat().st_ino: path.stat().st_size for path in left}.values()) == second.size
    assert not [path for path in left if "/1/" in str(path.relative_to(tmp_path))]
    promote(str(tmp_path), 2)


def test_an_interrupted_removal_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_release(tmp_path, 1)
    delete, deleted = files.delete, []

    def killed(address: str) -> None:
        if len(deleted) == 3:
            raise KeyboardInterrupt
        deleted.append(address)
        delete(address)

    monkeypatch.setattr(files, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(str(tmp_path), 1)
    monkeypatch.undo()
    assert [release.number for release in stored(str(tmp_path))] == [1]
    with pytest.raises(WinnowError, match="is missing or has changed"):
        promote(str(tmp_path), 1)
    remove(str(tmp_path), 1)
    assert stored(str(tmp_path)) == []
