"""Files in a local folder: atomic writes, missing files, listing; tests/integration/core tests S3."""

from pathlib import Path

import pytest

from winnow import files
from winnow.encoders import media
from winnow.encoders.media import BrokenMedia
from winnow.errors import WinnowError


def test_a_missing_file_has_its_own_error(tmp_path: Path) -> None:
    address = str(tmp_path / "none.bin")
    for operation in (files.size, files.read):
        with pytest.raises(files.FileMissing, match=r"none\.bin: No such file or directory$"):
            operation(address)


def test_an_address_of_another_scheme_is_a_missing_file() -> None:
    with pytest.raises(BrokenMedia, match=r"^https://shop\.example/lamp\.png: No such file or directory$"):
        media.read("https://shop.example/lamp.png")


def test_other_errors_name_the_address_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(WinnowError, match=r"/file: File exists\. Make room, or correct the path") as caught:
        files.write(str(tmp_path / "file" / "below"), b"")
    assert not isinstance(caught.value, files.FileMissing)


def test_a_listing_leaves_out_subfolders_and_unfinished_writes(tmp_path: Path) -> None:
    files.write(str(tmp_path / "b.txt"), b"12")
    files.write(str(tmp_path / "a.txt"), b"1")
    files.write(str(tmp_path / "below" / "c.txt"), b"")
    (tmp_path / ".d.txt-1.partial").write_bytes(b"")
    assert files.listed(str(tmp_path), ".txt") == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert files.listed(str(tmp_path / "none"), ".txt") == []
    assert [files.size(address) for address in files.listed(str(tmp_path), ".txt")] == [1, 2]


def test_files_at_any_depth_are_walked_and_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("b.txt", "below/c.txt", "below/further/d.txt"):
        files.write(str(folder / name), b"1")
    files.write(str(tmp_path / "folder-2" / "e.txt"), b"1")
    assert files.walk(str(folder)) == [str(folder / name) for name in ("b.txt", "below/c.txt", "below/further/d.txt")]
    files.delete(str(folder / "b.txt"))
    files.delete(str(folder / "b.txt"))
    files.delete_folder(str(folder / "below"))
    files.delete_folder(str(folder / "below"))
    assert files.walk(str(tmp_path)) == [str(tmp_path / "folder-2" / "e.txt")]
    assert files.walk(str(tmp_path / "none")) == []


def test_a_file_is_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = str(tmp_path / "new folder" / "file.txt")
    files.write(address, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WinnowError, match=r"file\.txt: No space left on device"):
        files.write(address, b"new")
    assert files.read(address) == b"old"
    assert files.listed(str(tmp_path / "new folder"), ".txt") == [address]
    assert len(list((tmp_path / "new folder").iterdir())) == 1
