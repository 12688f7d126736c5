"""The release that an incremental build goes on from."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.lifecycle.homes import add_release
from winnow.errors import WinnowError
from winnow.lifecycle.live import promote
from winnow.lifecycle.start import start_of
from winnow.release import MANIFEST, BuildInputs

SHOP = BuildInputs(data="/data/shop")


def describe(home: Path, number: int, **fields: Any) -> None:
    """Add a release whose manifest has these fields."""
    found = add_release(home, number)
    manifest = found.manifest.model_copy(update={"source": SHOP} | fields)
    (found.folder / MANIFEST).write_text(manifest.model_dump_json())


def test_a_build_with_a_holdout_goes_on_from_the_twin(tmp_path: Path) -> None:
    describe(tmp_path, 1, holdout="last", as_of=100)
    describe(tmp_path, 2, as_of=110)
    describe(tmp_path, 3, holdout="last", as_of=200, source=SHOP.model_copy(update={"from_release": 1}))
    describe(tmp_path, 4, as_of=210, source=SHOP.model_copy(update={"from_release": 2}))
    describe(tmp_path, 5, holdout="last", as_of=205, source=SHOP.model_copy(update={"data": "/data/other"}))
    describe(tmp_path, 6, holdout="last", as_of=300)
    home = str(tmp_path)
    assert start_of(home, 2, "none") == 2
    assert start_of(home, 2, "last") == 1, "6 is later than 2: it may know what this build shall learn"
    assert start_of(home, 4, "last") == 3
    assert start_of(home, 3, "last") == 3
    with pytest.raises(WinnowError, match="release 3 was built with --holdout last, for evaluation, and lacks events"):
        start_of(home, 3, "none")


def test_without_a_twin_there_is_no_evaluation(tmp_path: Path) -> None:
    describe(tmp_path, 1)
    with pytest.raises(WinnowError, match="release 1 has learned the events that --holdout last holds out, and has no"):
        start_of(str(tmp_path), 1, "last")


def test_zero_is_the_live_release(tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="is live: name the release to go on from, or build in full first"):
        start_of(str(tmp_path), 0, "none")
    add_release(tmp_path, 1)
    add_release(tmp_path, 2)
    promote(str(tmp_path), 1)
    assert start_of(str(tmp_path), 0, "none") == 1
