import errno
from pathlib import Path

import pytest

from winnow.errors import DataError, WinnowError, as_winnow_error


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
