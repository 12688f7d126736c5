"""Exported changes of the catalog are applied to the items of a data set, in their order."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical import account
from winnow.datasets.ingest import ingest
from winnow.errors import DataError
from winnow.feedback.change_files import SCHEMA

START = 1_700_000_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    columns = "categorical: [tags]\n  numeric: [grams]"
    (folder / "dataset.yaml").write_text(f"name: shop\nevents: {{view: 1}}\nitems:\n  {columns}\n")
    (folder / "items.csv").write_text("item_id,title,price,tags,grams\na,Ball,3,red,\nb,Book,5,,\nc,Cup,,blue,\n")
    rows = "".join(f"{user},{item},view,{START + n}\n" for n, (user, item) in enumerate(["ua", "ub", "uc", "va", "vb"]))
    (folder / "events.csv").write_text("user_id,item_id,event,timestamp\n" + rows)
    return folder


def changes(shop: Path, *rows: tuple[str, str, str, dict[str, Any] | None], name: str = "1-0.parquet") -> None:
    """Write ``(stream_id, action, item_id, document)`` as an export does."""
    (shop / "catalog").mkdir(exist_ok=True)
    whole = [
        {
            **dict.fromkeys(SCHEMA.names),
            **dict(zip(("stream_id", "action", "item_id"), row, strict=False)),
            "document": None if row[3] is None else json.dumps(row[3]),
            "at": START,
            "release": 1,
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(whole, SCHEMA), shop / "catalog" / name)


def items(shop: Path, out: Path) -> dict[str, dict[str, Any]]:
    read = ingest(str(shop), out).items.to_pylist()
    return {row["item_id"]: {name: value for name, value in row.items() if value is not None} for row in read}


def test_changes_are_applied_in_the_order_of_the_stream(shop: Path, tmp_path: Path) -> None:
    changes(
        shop,
        ("9-0", "upsert", "a", {"price": 9.0, "title": "Red ball"}),
        ("10-0", "upsert", "a", {"price": 10.0, "tags": None}),
        ("10-1", "disable", "b", None),
        ("11-0", "upsert", "d", {"title": "Duck", "tags": "green", "grams": 7.5}),
        name="9-0.parquet",
    )
    changes(shop, ("2-0", "upsert", "a", {"price": 2.0, "grams": 1.0}), name="2-0.parquet")
    found = items(shop, tmp_path / "out")
    assert found == {
        "a": {"item_id": "a", "title": "Red ball", "price": 10.0, "grams": 1.0, "available": True},
        "b": {"item_id": "b", "title": "Book", "price": 5.0, "available": False},
        "c": {"item_id": "c", "title": "Cup", "tags": "blue", "available": True},
        "d": {"item_id": "d", "title": "Duck", "tags": "green", "grams": 7.5, "available": True},
    }
    assert list(found) == ["a", "b", "c", "d"]
    assert account.catalog_position(tmp_path / "out") == "11-0"
    notes = ingest(str(shop), tmp_path / "out").account.notes
    assert "catalog/: 3 items have changed, of which 0 are deleted" in notes


def test_a_deleted_item_stays_out_until_it_is_added_again(shop: Path, tmp_path: Path) -> None:
    """Its events are left out, and are not bad rows: one in a log this short would refuse the data set."""
    changes(shop, ("1-0", "upsert", "a", {"grams": 4.0}), ("1-1", "delete", "a", None), ("1-2", "delete", "zz", None))
    data = ingest(str(shop), tmp_path / "out")
    assert data.items["item_id"].to_pylist() == ["b", "c"]
    assert data.events["item_id"].to_pylist() == ["b", "c", "b"]
    assert data.account.quarantined == 0
    changes(shop, ("2-0", "enable", "a", None), ("3-0", "upsert", "a", {"price": 1.0}), name="2-0.parquet")
    data = ingest(str(shop), tmp_path / "out")
    assert items(shop, tmp_path / "out")["a"] == {"item_id": "a", "price": 1.0, "available": True}
    assert data.events.num_rows == 5


def test_a_list_in_a_column_of_texts_makes_it_one_of_lists(shop: Path, tmp_path: Path) -> None:
    changes(shop, ("1-0", "upsert", "a", {"tags": ["red", "old"]}), ("1-1", "upsert", "b", {"tags": "new"}))
    data = ingest(str(shop), tmp_path / "out")
    assert data.items["tags"].to_pylist() == [["red", "old"], ["new"], ["blue"]]


def test_what_does_not_fit_the_columns_is_named_and_not_applied(shop: Path, tmp_path: Path) -> None:
    changes(shop, ("1-0", "upsert", "a", {"colour": "red", "grams": "heavy", "price": 4.0}))
    found = items(shop, tmp_path / "out")
    assert found["a"]["price"] == 4.0
    assert "grams" not in found["a"]
    [note] = [note for note in ingest(str(shop), tmp_path / "out").account.notes if "is not applied" in note]
    assert note.endswith("is not applied: colour, grams")


def test_pictures_of_the_export_are_found_beside_it(shop: Path, tmp_path: Path) -> None:
    changes(shop, ("1-0", "upsert", "a", {}))
    path = shop / "catalog" / "1-0.parquet"
    [row] = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist([row | {"image": "catalog/media/abc"}], SCHEMA), path)
    (shop / "catalog" / "media").mkdir()
    (shop / "catalog" / "media" / "abc").write_bytes(b"picture")
    assert items(shop, tmp_path / "out")["a"]["image"] == str(shop / "catalog" / "media" / "abc")


def test_a_folder_of_another_kind_is_no_concern(shop: Path, tmp_path: Path) -> None:
    (shop / "catalog").mkdir()
    (shop / "catalog" / "prices.csv").write_text("a,b\n")
    data = ingest(str(shop), tmp_path / "out")
    assert (data.items.num_rows, data.account.catalog_position, data.account.notes) == (3, "", ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("1-0", "upsert", "a", None), "catalog/1-0.parquet, column document: 1-0 is no change"),
        (("1-0", "burn", "a", None), "catalog/1-0.parquet, column document: 1-0 is no change"),
    ],
)
def test_a_file_that_is_no_export_is_refused(shop: Path, tmp_path: Path, row: Any, message: str) -> None:
    changes(shop, row)
    with pytest.raises(DataError) as raised:
        ingest(str(shop), tmp_path / "out")
    assert "is no change; keep the files of `winnow events export` as they are" in str(raised.value)
    pq.write_table(pa.table({"stream_id": ["1-0"]}), shop / "catalog" / "1-0.parquet")
    with pytest.raises(DataError, match="action: the column is missing"):
        ingest(str(shop), tmp_path / "out")
