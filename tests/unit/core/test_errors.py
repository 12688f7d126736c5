"""Errors of the file system become one sentence with file, reason and remedy; other errors stay bugs."""

import errno
import os
from pathlib import Path

import pytest

from winnow.errors import DataError, WinnowError, as_winnow_error, file_error


@pytest.mark.parametrize("error", [WinnowError("no release"), DataError("row 3")])
def test_a_winnow_error_is_shown_as_it_is(error: WinnowError) -> None:
    assert as_winnow_error(error) is error


def test_an_error_of_a_folder_names_the_path_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as raised:
        (tmp_path / "file" / "release").mkdir()
    shown = as_winnow_error(raised.value)
    assert str(tmp_path / "file" / "release") in str(shown)
    assert "WINNOW_HOME" in str(shown)


def test_a_full_disk_is_shown_although_a_write_knows_no_path() -> None:
    shown = as_winnow_error(OSError(errno.ENOSPC, "No space left on device"))
    assert str(shown).startswith("No space left on device. ")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EACCES, "Permission denied"), FileNotFoundError(errno.ENOENT, "missing", "x"), ValueError("bug")],
)
def test_other_errors_are_bugs_and_are_not_replaced(error: Exception) -> None:
    assert as_winnow_error(error) is None


def test_a_file_error_names_file_reason_and_remedy() -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        os.stat("/no/such/file")
    assert str(file_error(caught.value)).startswith("/no/such/file: No such file or directory. Make room, or correct")


def test_an_error_of_a_write_takes_the_path_in_use() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert str(file_error(full, "/data/out")).startswith("/data/out: No space left on device. Make room")
    assert str(file_error(full)).startswith("No space left on device. Make room")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR])
def test_a_permission_error_is_the_machines_only_with_a_file_name(number: int) -> None:
    assert isinstance(as_winnow_error(OSError(number, "refused", "/data/out")), WinnowError)
    assert as_winnow_error(OSError(number, "refused")) is None


def test_a_broken_pipe_is_not_the_machines() -> None:
    assert as_winnow_error(OSError(errno.EPIPE, "Broken pipe", "/data/out")) is None
