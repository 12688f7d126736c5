"""A data set's folder can be moved to another machine, be held out from later, and has a fingerprint."""

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.small_shop import small_shop
from winnow.datasets.canonical.dataset import HOLDOUT
from winnow.datasets.fingerprint import fingerprint
from winnow.datasets.ingest import hold_out, ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.encoders.catalog import read_contents


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return small_shop(tmp_path / "shop")


def test_pictures_and_sounds_travel_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "gone"))
    ingest(None, tmp_path / "out", marketplace=MarketplaceSize(20, 20, 200, 7), carries_media=True)
    before = [Path(path).read_bytes() for path in _media(tmp_path / "gone/marketplace")]
    (tmp_path / "out").rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "gone")
    contents = read_contents(tmp_path / "moved")
    found = [*contents.pictures, *filter(None, contents.sounds)]
    assert len(contents.pictures) == 20
    assert sorted(Path(path).read_bytes() for path in found) == sorted(before)
    assert all(path.startswith(str(tmp_path / "moved/media/")) for path in found)


def _media(marketplace: Path) -> list[Path]:
    return [path for path in marketplace.rglob("*") if path.parent.name in ("images", "audio")]


def test_other_addresses_and_missing_files_stay_as_they_are(shop: Path, tmp_path: Path) -> None:
    (shop / "items.csv").write_text("item_id,image\n" + "\n".join(f"i{item},s3://b/{item}.png" for item in range(7)))
    with (shop / "items.csv").open("a") as items:
        items.write("\ni7,../none.png")
    ingest(str(shop), tmp_path / "out", carries_media=True)
    pictures = read_contents(tmp_path / "out").pictures
    assert pictures[:2] == ["s3://b/0.png", "s3://b/1.png"]
    assert pictures[7] == f"{shop}/../none.png"
    assert not (tmp_path / "out/media").exists()


def test_holding_out_later_is_holding_out_at_once(shop: Path, tmp_path: Path) -> None:
    at_once = ingest(str(shop), tmp_path / "last", holdout="last")
    ingest(str(shop), tmp_path / "none")
    later = hold_out(tmp_path / "none", tmp_path / "out")
    for name in ("items", "users", "events", "impressions"):
        assert getattr(later, name).equals(getattr(at_once, name)), name
    assert pq.read_table(tmp_path / "out" / HOLDOUT).equals(pq.read_table(tmp_path / "last" / HOLDOUT))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in (tmp_path / "last").iterdir()
    )
    assert (tmp_path / "out/ingest.json").read_bytes() == (tmp_path / "last/ingest.json").read_bytes()


def test_a_fingerprint_changes_with_the_files(shop: Path) -> None:
    first = fingerprint(str(shop))
    assert fingerprint(str(shop)) == first != ""
    shop.rename(shop.with_name("moved"))
    shop = shop.with_name("moved")
    assert fingerprint(str(shop)) == first
    seen = {first}
    os.utime(shop / "events.csv", ns=(1, 1))
    seen.add(fingerprint(str(shop)))
    (shop / "users.csv").write_text("user_id\nu1")
    seen.add(fingerprint(str(shop)))
    (shop / "users.csv").rename(shop / "users.txt")
    assert len(seen | {fingerprint(str(shop))}) == 4
    assert fingerprint("") == fingerprint(str(shop / "none")) == ""
