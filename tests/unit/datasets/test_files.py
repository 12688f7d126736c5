"""Which files are read, which headings match, and the errors of unreadable files."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical import headers
from winnow.datasets.ingest import ingest
from winnow.datasets.readers.layout import layout_of
from winnow.errors import DataError, WinnowError

YAML = "name: shop\nevents: {view: 1}\nitems: {categorical: [brand_name]}\n"
ITEMS = "item_id,title,price,brand_name\na,Lamp,1,x\nb,Chair,2,y\n"
# Without the time, which would be in the name of a test.
GZIPPED = gzip.compress(ITEMS.encode(), mtime=0)
EVENTS = "user_id,item_id,event,timestamp\nu,a,view,1700000000000\nv,b,view,1700000000001\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dataset.yaml").write_text(YAML)
    (folder / "items.csv").write_text(ITEMS)
    (folder / "events.csv").write_text(EVENTS)
    return folder


def refused(shop: Path) -> str:
    with pytest.raises(DataError) as raised:
        ingest(str(shop), shop.parent / "out")
    assert raised.value.exit_code == 2
    assert not (shop.parent / "out").exists()
    return str(raised.value)


def test_file_and_folder_are_one_table() -> None:
    names = ["dataset.yaml", "items.csv", "events.parquet", "events/b.csv", "events/a.parquet", "events/day=1/c.csv"]
    found = layout_of(names, "shop")
    assert found.files["events"] == ["events.parquet", "events/a.parquet", "events/b.csv", "events/day=1/c.csv"]
    assert found.notes == ["events: read from events.parquet and the 3 in events/ together"]


def test_hidden_and_temporary_files_are_skipped() -> None:
    junk = ["events/_SUCCESS", "events/.a.csv.crc", "events/a.csv.tmp", "events/_temporary/0/a.csv", "events/a.csv~"]
    found = layout_of(["items.csv", "events/a.csv", *junk], "shop")
    assert found.files["events"] == ["events/a.csv"]
    assert found.notes == []


def test_folders_named_like_files_are_read() -> None:
    found = layout_of(["items.csv/part-0.csv", "items.csv/_SUCCESS", "events.parquet/part-0.snappy.parquet"], "shop")
    assert found.files == {"items": ["items.csv/part-0.csv"], "events": ["events.parquet/part-0.snappy.parquet"]}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["items.csv", "events/a.csv", "events/b.json"], r"events/: only \.parquet and \.csv .*events/b\.json"),
        (["items.csv", "events/a.csv.gz"], r"events/: only .*events/a\.csv\.gz"),
        (["items.csv", "items.parquet", "events.csv"], r"there is items\.parquet and items\.csv: keep"),
        (["items.csv", "events/a.csv", "events/a.parquet"], r"there is events/a\.parquet and events/a\.csv: keep"),
        (["items.csv"], r"no events table\. Looked for events\.parquet, events\.csv, events/ with such files\. Put"),
        (["items.csv", "events.csv.gz"], r"events\.csv\.gz is not read\. Put"),
        (["items.csv", "events.jsonl"], r"events\.jsonl is not read\. Put"),
    ],
)
def test_ambiguous_files_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        layout_of(names, "shop")


def test_pictures_in_a_folder_beside_the_table_are_not_read_as_a_table() -> None:
    assert layout_of(["items.csv", "items/a.png", "events.csv"], "shop").files["items"] == ["items.csv"]


def test_kinds_and_types_may_differ_from_file_to_file(shop: Path) -> None:
    (shop / "events").mkdir()
    moment = pa.array([1_700_000_000_002_000], pa.timestamp("us", "UTC"))
    other = pa.table({"event": ["view"], "item_id": ["a"], "timestamp": moment, "user_id": pa.array([7])})
    pq.write_table(other, shop / "events/a.parquet")
    (shop / "events/b.csv").write_text("User ID, Item ID,event,timestamp\nw,b,view,2023-11-14T22:13:20.003Z\n")
    data = ingest(str(shop), shop.parent / "out")
    assert data.events["user_id"].to_pylist() == ["u", "v", "7", "w"]
    assert data.events["timestamp"].to_pylist() == [1_700_000_000_000 + row for row in range(4)]


def test_headings_that_differ_by_case_or_spacing_are_accepted_and_reported(shop: Path) -> None:
    (shop / "items.csv").write_text(
        '\ufeffItem ID," title ",PRICE,Brand-Name,colour\na,Lamp,1,x,red\nb,Chair,2,y,blue\n'
    )
    data = ingest(str(shop), shop.parent / "out")
    assert data.items["title"].to_pylist() == ["Lamp", "Chair"]
    assert data.items["price"].to_pylist() == [1.0, 2.0]
    assert data.items["brand_name"].to_pylist() == ["x", "y"]
    assert data.account.lines() == [
        "items.csv: column 'Item ID' is read as item_id",
        "items.csv: column 'PRICE' is read as price",
        "items.csv: column 'Brand-Name' is read as brand_name",
        "items.csv: not read, as dataset.yaml does not declare them: 'colour'",
    ]


@pytest.mark.parametrize(
    ("headings", "taken", "several"),
    [
        (["title", "Title"], 0, []),
        (["Title", "title"], 1, []),
        (["title", " title"], None, ["title", " title"]),
        (["Title", "TITLE"], None, ["Title", "TITLE"]),
        (["titles"], None, []),
    ],
)
def test_a_heading_is_matched_unless_ambiguous(headings: list[str], taken: int | None, several: list[str]) -> None:
    found = headers.match(headings, ["title"])
    assert found.places.get("title") == taken
    assert found.several.get("title", []) == several


def test_two_declared_columns_that_look_alike_are_read_as_written() -> None:
    assert headers.match(["brand", "Brand", "BRAND"], ["brand", "Brand"]).places == {"brand": 0, "Brand": 1}


def test_a_duplicate_column_is_refused(shop: Path) -> None:
    (shop / "items.csv").write_text("item_id,title,title,brand_name\na,x,y,z\n")
    assert "items.csv, column title: 2 columns could be it ('title', 'title'); keep one" in refused(shop)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "item_id,title\na,caf\xe9\n".encode("latin1"),
            "items.csv: line 2 is not UTF-8: bytes e9 0a after 'a,caf'; conv",
        ),
        ("item_id,gr\xf6\xdfe\na,x\n".encode("latin1"), "items.csv: line 1 is not UTF-8: bytes f6 df 65 0a"),
        (b"item_id,title\n" + b"a,x\n" * 300_000 + b"a,\xff\n", "items.csv: line 300002 is not UTF-8: bytes ff 0a"),
        (b"item_id,title\na,x\xc3", "items.csv: line 2 is not UTF-8: bytes c3"),
        ("item_id\n用\n".encode("gbk"), "items.csv: line 2 is not UTF-8"),
        ("item_id\na\n".encode("utf-16"), "items.csv: cannot be read: it is UTF-16; convert it: iconv -f utf-16"),
        ("item_id\na\n".encode("utf-16-le"), "items.csv: line 1 holds a zero byte, so it is not UTF-8"),
        (GZIPPED, "items.csv: cannot be read: it is compressed by gzip; unpack it: gunzip"),
        (b"PK\x03\x04rest", "items.csv: cannot be read: it is a zip archive or a spreadsheet"),
        (b"PAR1rest", "items.csv: cannot be read: it is a Parquet file; let its name end in .parquet"),
        (ITEMS.replace(",", ";").encode(), "items.csv: its columns are separated by ';', not by commas"),
        (ITEMS.replace(",", "\t").encode(), r"items.csv: its columns are separated by '\t', not by commas"),
        (b"", "items.csv: cannot be read; write it again: Empty CSV file"),
        (
            b"item_id,title\na\n",
            "items.csv: cannot be read; write it again: CSV parse error: Expected 2 columns, got 1",
        ),
    ],
)
def test_a_file_that_is_not_csv_is_named_with_the_remedy(shop: Path, content: bytes, said: str) -> None:
    (shop / "items.csv").write_bytes(content)
    assert said in refused(shop)


def test_every_csv_dialect_is_read(shop: Path) -> None:
    for text in (
        ITEMS.replace("\n", "\r\n"),
        "\ufeff" + ITEMS,
        "\n\n" + ITEMS,
        'item_id,title,price,brand_name\na,Lamp,1,x\nb,"Cha\nir, ""red""",2,y\n',
    ):
        (shop / "items.csv").write_bytes(text.encode())
        data = ingest(str(shop), shop.parent / "out")
        assert data.items["item_id"].to_pylist() == ["a", "b"]
        assert data.items["title"].to_pylist() in (["Lamp", "Chair"], ["Lamp", 'Cha\nir, "red"'])


def test_a_description_may_have_a_byte_order_mark_but_not_be_latin1(shop: Path) -> None:
    (shop / "dataset.yaml").write_bytes(b"\xef\xbb\xbf" + YAML.encode())
    assert ingest(str(shop), shop.parent / "out").items.num_rows == 2
    (shop / "dataset.yaml").write_bytes("name: caf\xe9\n".encode("latin1"))
    with pytest.raises(DataError, match=r"dataset\.yaml: cannot be read: it is not UTF-8 at byte 9"):
        ingest(str(shop), shop.parent / "out")


def test_an_operating_system_error_is_one_sentence(shop: Path) -> None:
    (shop / "dataset.yaml").unlink()
    (shop / "dataset.yaml").mkdir()
    assert "dataset.yaml: cannot be read: Is a directory; correct the place or its permissions" in refused(shop)


@pytest.mark.parametrize("out", ["/proc/nothing/out", "/dev/null/out"])
def test_an_unwritable_folder_is_one_sentence(shop: Path, out: str) -> None:
    with pytest.raises(WinnowError, match=rf"{Path(out).parent}: .*WINNOW_HOME names the folder"):
        ingest(str(shop), Path(out))


def test_a_file_in_place_of_a_folder_is_refused(shop: Path) -> None:
    with pytest.raises(WinnowError, match=r"items\.csv is a file, not a folder"):
        ingest(str(shop / "items.csv"), shop.parent / "out")
