"""Writing a data set completely or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.datasets.marketplace import MarketplaceSize
from winnow.errors import DataError, WinnowError

NOON = 1_700_000_000_000
ROWS = [
    ("u", "a", NOON + 5),
    ("v", "a", NOON),
    ("u", "b", NOON + 9),
    ("u", "c", NOON + 9),  # the time of b, further down the log: the last event
    ("v", "b", NOON + 1),
    ("u", "d", NOON + 1),
    ("w", "a", NOON + 3),  # the last event of w, although first in the log
    ("w", "b", NOON + 2),
    ("w", "c", NOON + 1),
]
EVENTS = pa.table(
    {
        "user_id": [user for user, _, _ in ROWS],
        "item_id": [item for _, item, _ in ROWS],
        "event": ["view"] * len(ROWS),
        "timestamp": [moment for _, _, moment in ROWS],
        "amount": [float(row) for row in range(len(ROWS))],
    }
)
ITEMS = pa.table({"item_id": list("abcd")})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    pq.write_table(ITEMS, folder / "items.parquet")
    pq.write_table(EVENTS, folder / "events.parquet")
    return folder


def test_ingest_writes_what_it_returns(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    data = ingest(str(shop), out, holdout="last")
    assert Dataset.load(out).events.equals(data.events)
    assert pq.read_table(out / "holdout.parquet")["item_id"].to_pylist() == ["c", "a"]
    ingest(str(shop), out)
    assert not (out / "holdout.parquet").exists()
    assert Dataset.load(out).events.num_rows == len(ROWS)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_broken_source_changes_no_file(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ingest(str(shop), out)
    pq.write_table(ITEMS.slice(1), shop / "items.parquet")
    with pytest.raises(DataError, match=r"events\.parquet, column item_id: not in items\.parquet"):
        ingest(str(shop), out)
    with pytest.raises(DataError):
        ingest(str(shop), tmp_path / "fresh")
    assert Dataset.load(out).items.num_rows == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "shop"]


def test_an_unreadable_source_names_the_expected_files(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="There is no folder"):
        ingest(str(tmp_path / "nowhere"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WinnowError, match=r"NAME\.inter.*dataset\.yaml.*items\.parquet"):
        ingest(str(tmp_path / "empty"), tmp_path / "out")
    (shop / "events.parquet").unlink()
    with pytest.raises(WinnowError, match=r"no events table\. Looked for events\.parquet, events\.csv, events/"):
        ingest(str(shop), tmp_path / "out")
    (shop / "dataset.yaml").unlink()
    with pytest.raises(DataError, match=r"dataset\.yaml is missing. Write one"):
        ingest(str(shop), tmp_path / "out")
    (shop / "dataset.yaml").write_text("name: shop\nevents: {view: 1}\n")
    (shop / "events.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"events\.parquet: cannot be read"):
        ingest(str(shop), tmp_path / "out")


def test_existing_files_are_not_overwritten(shop: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letter.txt").write_text("dear")
    with pytest.raises(WinnowError, match="is not a data set"):
        ingest(str(shop), precious)
    with pytest.raises(WinnowError, match="would replace the source"):
        ingest(str(shop), shop)
    assert (precious / "letter.txt").read_text() == "dear"
    assert (shop / "events.parquet").exists()


def test_without_a_source_the_demo_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "home"))
    data = ingest(None, tmp_path / "out", marketplace=MarketplaceSize(items=20, users=10, events=80))
    assert (data.items.num_rows, data.users.num_rows, data.events.num_rows) == (20, 10, 80)
    pictures = [Path(path) for path in data.items["image"].to_pylist()]
    assert all(path.is_absolute() and path.is_file() for path in pictures)
