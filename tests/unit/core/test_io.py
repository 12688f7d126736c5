"""Files that are replaced at once or stay unchanged."""

from pathlib import Path

import pytest

from winnow import files
from winnow.errors import WinnowError


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
