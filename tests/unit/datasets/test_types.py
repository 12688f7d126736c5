"""A value is read the same from every column type."""

import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from winnow.datasets.canonical.raw import RawDataset, RawTable
from winnow.datasets.canonical.spec import DatasetSpec, DeclaredColumns
from winnow.datasets.canonical.types import normalised
from winnow.datasets.canonical.validate import validate
from winnow.errors import DataError

TEXTS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.uint16(), pa.large_string()),
]
SPEC = DatasetSpec(name="x", events={"view": 1}, items=DeclaredColumns(categorical=("tags",)))
AN_ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


def validated(items: dict[str, Any], item_id: str = "a") -> dict[str, Any]:
    events = pa.table({"user_id": ["u"], "item_id": [item_id], "event": ["view"], "timestamp": [1_700_000_000_000]})
    table = pa.table({"tags": pa.nulls(1)} | items)
    found = RawTable.of("items.parquet", table), None, RawTable.of("events.parquet", events)
    return dict(validate(RawDataset("shop", "/shop", SPEC, *found)).items.to_pylist()[0])


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_pictures_and_sounds_are_read_from_every_text_type(kind: pa.DataType) -> None:
    encoded = kind if pa.types.is_dictionary(kind) else None
    plain = kind.value_type if encoded else kind
    column = {
        name: pa.array([value], plain).cast(kind) if encoded else pa.array([value], kind)
        for name, value in (
            ("item_id", "a"),
            ("image", "pictures/a.png"),
            ("audio", "/sounds/a.wav"),
            ("title", "Lamp"),
        )
    }
    item = validated(column)
    assert item["image"] == "/shop/pictures/a.png"
    assert item["audio"] == "/sounds/a.wav"
    assert (item["item_id"], item["title"]) == ("a", "Lamp")


@pytest.mark.parametrize(
    ("values", "id_"),
    [
        (pa.array([7], pa.uint64()), "7"),
        (pa.array([7], pa.int8()), "7"),
        (pa.array([Decimal(7)], pa.decimal128(38, 0)), "7"),
        (pa.array([Decimal("7.00")], pa.decimal32(5, 2)), "7"),
        (pa.array([Decimal(10) ** 30], pa.decimal256(50, 0)), "1" + "0" * 30),
        (pa.array([AN_ID.bytes], pa.uuid()), str(AN_ID)),
        (pa.array([7]).dictionary_encode(), "7"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_database_ids_are_ids(values: pa.Array, id_: str) -> None:
    assert validated({"item_id": values}, id_)["item_id"] == id_


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.string_view(), 2),
        pa.list_view(pa.string()),
        pa.large_list_view(pa.string()),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=str,
)
def test_lists_of_every_type_are_lists(kind: pa.DataType) -> None:
    assert validated({"item_id": ["a"], "tags": pa.array([["x", "y"]], kind)})["tags"] == ["x", "y"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
def test_moments_of_every_unit_and_zone_are_milliseconds(unit: str, zone: str | None) -> None:
    count = 1_700_000_000 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    column = pa.array([count], pa.timestamp(unit, zone))
    assert validated({"item_id": ["a"], "created_at": column})["created_at"] == 1_700_000_000_000


def test_numbers_are_numbers_and_nan_is_absent() -> None:
    for column in (pa.array([1.5], pa.float16()), pa.array([Decimal("1.50")], pa.decimal64(10, 2)), pa.array(["1.5"])):
        assert validated({"item_id": ["a"], "price": column})["price"] == 1.5
    assert validated({"item_id": ["a"], "price": [float("nan")]})["price"] is None


def test_empty_texts_and_columns_of_nulls_are_absent() -> None:
    names = ("title", "description", "category", "price", "image", "audio", "created_at")
    item = validated({"item_id": ["a"]} | {name: pa.nulls(1) for name in names})
    assert {item[name] for name in names} == {None}
    texts = ("title", "description", "category", "image", "audio")
    item = validated({"item_id": ["a"], "tags": [""]} | {name: [""] for name in texts})
    assert {item[name] for name in (*texts, "tags")} == {None}


def test_values_that_are_not_text_are_reported() -> None:
    assert normalised(pa.table({"image": [b"\xff\xd8"]}))["image"].type == pa.binary()
    with pytest.raises(DataError, match=r"column image: expected text; the column's type is binary \(1 row\)"):
        validated({"item_id": ["a"], "image": [b"\xff\xd8" * 10_000]})
    offsets = pa.array([0, 2], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xed\xa0")])
    with pytest.raises(DataError, match=r"column item_id: holds text that is not UTF-8"):
        validated({"item_id": broken})
