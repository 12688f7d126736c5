"""Files of new items are checked completely, and errors are named by row."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.tiny_release import write_bare_release
from winnow.cli import new_items
from winnow.cli.catalog.sending import IN_FLIGHT, Interrupted, chunks, send
from winnow.encoders.inputs import EncoderInputs, ImageInput, TextInput
from winnow.errors import DataError, WinnowError
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=2),
        Feature(name="tags", kind="categorical", width=2, cardinality=2),
        *(Feature(name=name, kind="numeric") for name in (*NUMERIC_FEATURES, "price", "grams")),
    ),
    user=(),
    events=("view",),
    event_values=(1.0,),
    event_windows_ms=(86_400_000,),
    conversions=("view",),
)
INPUTS = EncoderInputs(image=ImageInput(dimension=4, size=8), text=TextInput(dimension=4, context_length=8))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    arrays = id_arrays(["", "a"])
    return write_bare_release(tmp_path / "releases", SCHEMA, arrays, "none", encoders=INPUTS.model_dump_json())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "new"
    (made / "pictures").mkdir(parents=True)
    (made / "pictures" / "ball.png").write_bytes(b"not looked into here")
    return made


def test_the_three_formats_give_the_same_items(release: Release, folder: Path) -> None:
    (folder / "items.csv").write_text(
        "item_id,title,price,available,created_at,image,audio,grams,tags,extra\n"
        "007,A ball,3.5,false,2026-01-02T00:00:00,pictures/ball.png,ignored.wav,12,red,x\n"
        "008,A cube,,,,,,,,\n"
    )
    line = {
        "item_id": "007",
        "title": "A ball",
        "price": 3.5,
        "available": False,
        "created_at": 1767312000000,
        "image": "pictures/ball.png",
        "grams": 12,
        "tags": ["red"],
    }
    (folder / "items.jsonl").write_text(
        "\n".join(json.dumps(row) for row in (line, {"item_id": "008", "title": "A cube"}))
    )
    pq.write_table(pa.Table.from_pylist([line, {"item_id": "008", "title": "A cube"}]), folder / "items.parquet")
    for form, tags in (("csv", "red"), ("jsonl", ["red"]), ("parquet", ["red"])):
        ball, cube = new_items.read(folder / f"items.{form}", release)
        assert (ball.row, ball.instance) == (
            1,
            {
                "item_id": "007",
                "title": "A ball",
                "price": 3.5,
                "available": False,
                "created_at": 1767312000000,
                "features": {"tags": tags, "grams": 12.0},
            },
        )
        # The release has no audio encoder, so the missing file is no error.
        assert ball.media == {"image": str(folder / "pictures" / "ball.png")}
        assert (cube.row, cube.instance, cube.media) == (2, {"item_id": "008", "title": "A cube"}, {})


def test_every_wrong_row_is_named_and_nothing_is_returned(release: Release, folder: Path) -> None:
    rows = [
        "item_id,price,created_at,image,grams",
        "a,1,,,",
        ",1,,,",
        "a,1,,,",
        "b,cheap,,,",
        "c,-1,,,",
        "d,1,yesterday,,",
        "e,1,,pictures/none.png,",
        "f,1,,http://example.org/x.png,",
        "g,1,,,heavy",
    ]
    (folder / "items.csv").write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        new_items.read(folder / "items.csv", release)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("items.csv cannot be added: 8 problems. Nothing was sent.")
    for line, message in zip(
        lines[1:],
        (
            "row 2, column item_id: no value",
            "row 3, column item_id: 'a' is in row 1 already",
            "row 4, column price: expected a finite number, got 'cheap'",
            "row 5, column price: a negative price, -1.0",
            "row 6, column created_at: expected a moment",
            "row 7, column image: ",
            "row 8, column image: URLs are not fetched; give a local file",
            "row 9, column grams: expected a finite number, got 'heavy'",
        ),
        strict=True,
    ):
        assert message in line


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("items.csv", "title\nA ball\n", "has no column item_id; its columns are title"),
        ("items.csv", "item_id\n", "has 0 rows; a file may have 1 to 1,000,000: split it"),
        ("items.csv", "item_id\n" + "\n".join(map(str, range(1_000_001))), "has 1,000,001 rows"),
        ("items.jsonl", '{"item_id": "a"}\n{"item_id"\n', "row 2: is not JSON"),
        ("items.jsonl", "[1]\n", "row 1: must be an object"),
        ("items.parquet", "no parquet", "cannot be read"),
        ("items.xlsx", "", r"must be .csv, .parquet or .jsonl"),
    ],
)
def test_files_of_another_format_are_refused(
    release: Release, folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(WinnowError, match=message):
        new_items.read(folder / name, release)
    with pytest.raises(WinnowError, match="there is no file"):
        new_items.read(folder / "nowhere.csv", release)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_id,title\na,caf\xe9\n".encode("latin1"), r"items\.csv: line 2 is not UTF-8: bytes e9 0a after 'a,caf'"),
        (b"item_id;title\na;x\n", r"its columns are separated by ';'"),
        (b"item_id,title,Title,TITLE\na,x,y,z\n", ""),
        (b"item_id,Title,TITLE\na,x,y\n", r"has several columns that could be title: Title, TITLE; keep one"),
        (
            b"item_id,created_at\na,1790000000\n",
            r"row 1, column created_at: must be .* looks like seconds",
        ),
        (b"item_id\n" + b"x" * 257 + b"\n", r"row 1, column item_id: must be a string of 1 to 256 characters"),
        (b"item_id\nx\x07\n", r"row 1, column item_id: must be free of control characters, got 'x\\x07'"),
    ],
)
def test_a_file_of_new_items_follows_the_rules_of_a_catalog(
    release: Release, folder: Path, content: bytes, message: str
) -> None:
    (folder / "items.csv").write_bytes(content)
    if not message:
        assert new_items.read(folder / "items.csv", release)[0].instance["title"] == "x"
        return
    with pytest.raises(DataError, match=message):
        new_items.read(folder / "items.csv", release)


def test_headings_moments_and_types_are_read_as_in_a_catalog(release: Release, folder: Path) -> None:
    (folder / "items.csv").write_text("\ufeffItem ID, Title,created_at\na,Ball,2026-01-02 03:04:05.123456+00\n")
    [addition] = new_items.read(folder / "items.csv", release)
    assert addition.instance == {"item_id": "a", "title": "Ball", "created_at": 1_767_323_045_123}
    large = pa.table({"item_id": pa.array(["a"], pa.large_string()), "title": pa.array(["Ball"]).dictionary_encode()})
    pq.write_table(large, folder / "items.parquet")
    assert new_items.read(folder / "items.parquet", release)[0].instance == {"item_id": "a", "title": "Ball"}
    (folder / "items.jsonl").write_text('{"item_id": 7, "price": 3}\n{"item_id": "b", "tags": ["x"], "price": null}\n')
    ids = [one.instance["item_id"] for one in new_items.read(folder / "items.jsonl", release)]
    assert ids == ["7", "b"]


def test_ids_are_read_from_a_file_and_sent_in_order_by_several_calls_at_once(folder: Path) -> None:
    file = folder / "gone.csv"
    file.write_text("price,item_id\n1,a\n2,b\n3,a\n")
    assert new_items.ids(file) == ["a", "b"]
    file.write_text('item_id,x\n"a\tb",1\n')
    with pytest.raises(DataError, match="row 1, column item_id: must be free of control characters"):
        new_items.ids(file)
    waiting = threading.Barrier(IN_FLIGHT, timeout=30)

    def call(batch: Sequence[int]) -> list[int]:
        if batch[0] < 10 * IN_FLIGHT:
            # Passes only if as many calls are on their way.
            waiting.wait()
        return [-number for number in batch]

    numbers = list(range(95))
    assert send(chunks(numbers, 10), call, len(numbers), "", False) == [-number for number in numbers]

    def refuse(batch: Sequence[int]) -> list[int]:
        if batch[0] == 20:
            raise WinnowError("no")
        return list(batch)

    with pytest.raises(Interrupted) as raised:
        send(chunks(numbers, 10), refuse, len(numbers), "", False)
    assert (list(raised.value.batch), raised.value.reason) == (list(range(20, 30)), "no")
    assert 20 <= raised.value.done < 95


def test_empty_cells_keep_a_value_or_clear_it(release: Release, folder: Path) -> None:
    file = folder / "set.csv"
    file.write_text("item_id,price,title,grams\na,,T,\n")
    [kept] = new_items.read(file, release)
    assert kept.instance == {"item_id": "a", "title": "T"}
    [cleared] = new_items.read(file, release, clear_empty=True)
    assert cleared.instance == {"item_id": "a", "title": "T", "clear": ["price", "grams"]}
