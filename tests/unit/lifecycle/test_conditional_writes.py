import hashlib
from pathlib import Path

import pytest

from winnow import files
from winnow.lifecycle import conditional_writes


def test_of_two_writers_that_read_the_same_content_one_succeeds(tmp_path: Path) -> None:
    address = str(tmp_path / "below" / "pin")
    conditional_writes.exchange(address, None, b"1")
    with pytest.raises(
        conditional_writes.FileChanged, match=r"below/pin was changed by another process in the meantime"
    ):
        conditional_writes.exchange(address, None, b"2")
    conditional_writes.exchange(address, b"1", b"3")
    with pytest.raises(conditional_writes.FileChanged):
        conditional_writes.exchange(address, b"1", b"4")
    assert files.read(address) == b"3"
    assert files.sha256(address) == hashlib.sha256(b"3").hexdigest()
