"""Files of new items are checked whole, and what is wrong is named by its row."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow import additions
from winnow import release as releases
from winnow.encoders.inputs import EncoderInputs, ImageInput, TextInput
from winnow.errors import DataError, WinnowError
from winnow.features.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.release import Release

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=2),
        Feature(name="tags", kind="categorical", width=2, cardinality=2),
        *(Feature(name=name, kind="numeric") for name in (*NUMERIC_FEATURES, "price", "grams")),
    ),
    user=(),
    events=("view",),
    event_weights=(1.0,),
    conversions=("view",),
)
INPUTS = EncoderInputs(image=ImageInput(dimension=4, size=8), text=TextInput(dimension=4, context_length=8))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return releases.write(
        tmp_path / "releases" / "1",
        {"item_ids": np.array(["", "a"])},
        {"schema.json": SCHEMA.model_dump_json(), "encoders.json": INPUTS.model_dump_json()},
        number=1,
        dataset="test",
        source=releases.Source(),
        holdout="none",
        as_of=1,
        history_length=1,
        candidates={},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "new"
    (made / "pictures").mkdir(parents=True)
    (made / "pictures" / "ball.png").write_bytes(b"not looked into here")
    return made


def test_the_three_forms_say_the_same(release: Release, folder: Path) -> None:
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
        ball, cube = additions.read(folder / f"items.{form}", release)
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
        # The release has no encoder for sounds, so the file that is missing is not missed.
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
        additions.read(folder / "items.csv", release)
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
        ("items.csv", "item_id\n", "has 0 rows; a release takes 1 to 4,096 new items"),
        ("items.csv", "item_id\n" + "\n".join(map(str, range(4097))), "has 4,097 rows"),
        ("items.jsonl", '{"item_id": "a"}\n{"item_id"\n', "row 2: is not JSON"),
        ("items.jsonl", "[1]\n", "row 1: must be an object"),
        ("items.parquet", "no parquet", "cannot be read"),
        ("items.xlsx", "", r"must be .csv, .parquet or .jsonl"),
    ],
)
def test_files_of_another_form_are_refused(
    release: Release, folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(WinnowError, match=message):
        additions.read(folder / name, release)
    with pytest.raises(WinnowError, match="there is no file"):
        additions.read(folder / "nowhere.csv", release)
