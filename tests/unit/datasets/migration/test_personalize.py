"""Imports of Personalize's files: with schemas, without, with impressions."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical.spec import DatasetSpec
from winnow.datasets.migration.personalize import convert
from winnow.errors import DataError

INTERACTIONS = (
    "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION,RECOMMENDATION_ID\n"
    "u1,i1,1596238243,click,,i1|i2|i3,r-1\n"
    "u1,i2,1596238300,click,,i1|i2|i3,r-1\n"
    "u2,i2,1596238400,purchase,9.5,i2|i1,\n"
    "u2,i3,1596238500,dislike,,,\n"
)
ITEMS = (
    "ITEM_ID,CREATION_TIMESTAMP,PRICE,GENRES,YEAR,CONTENT,PRODUCT_DESCRIPTION\n"
    'i1,1590000000,9.5,Comedy|Drama,1999,a,"long, text"\n'
    "i2,,,Drama,,b,\n"
    "i3,1590000000,0,,2001,c,x\n"
)
USERS = "USER_ID,AGE,MEMBERSHIP\nu1,30,gold\nu2,,silver\n"


def schema(name: str, *fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": name, "fields": list(fields), "version": "1.0"})


ITEMS_SCHEMA = schema(
    "Items",
    {"name": "ITEM_ID", "type": "string"},
    {"name": "CREATION_TIMESTAMP", "type": "long"},
    {"name": "PRICE", "type": ["null", "float"]},
    {"name": "GENRES", "type": ["null", "string"], "categorical": True},
    {"name": "YEAR", "type": ["null", "int"], "categorical": True},
    {"name": "CONTENT", "type": "string", "textual": True},
    {"name": "PRODUCT_DESCRIPTION", "type": ["null", "string"], "textual": True},
)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "interactions.csv").write_text(INTERACTIONS)
    (folder / "items.csv").write_text(ITEMS)
    (folder / "users.csv").write_text(USERS)
    return folder


def rows(output: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(output / f"{table}.parquet").to_pylist()
    return found


def test_files_with_a_schema_become_a_data_set(exported: Path, tmp_path: Path) -> None:
    (exported / "items-schema.json").write_text(ITEMS_SCHEMA)
    (exported / "another.json").write_text("[1]")
    report = convert(exported, tmp_path / "data")
    assert report.rows == {"items": 3, "users": 2, "events": 4, "impressions": 5}
    first, second, third = rows(tmp_path / "data", "items")
    assert first == {
        "item_id": "i1",
        "title": None,
        "description": "long, text",
        "category": "Comedy",
        "price": 9.5,
        "created_at": 1590000000000,
        "genres": ["Comedy", "Drama"],
        "year": ["1999"],
    }
    assert (second["created_at"], second["price"], second["description"], second["year"]) == (None,) * 4
    assert (third["price"], third["category"], third["genres"]) == (0.0, None, None)
    spec = DatasetSpec.read(tmp_path / "data" / "dataset.yaml")
    assert spec.values == {"click": 1.0, "purchase": 10.0, "dislike": -5.0}
    assert (spec.items.categorical, spec.items.numeric) == (("genres", "year"), ())
    assert (spec.users.categorical, spec.users.numeric) == (("membership",), ("age",))


def test_without_a_schema_columns_of_numbers_are_numeric(exported: Path, tmp_path: Path) -> None:
    convert(exported, tmp_path / "data")
    spec = DatasetSpec.read(tmp_path / "data" / "dataset.yaml")
    assert (spec.items.categorical, spec.items.numeric) == (("genres", "content"), ("year",))
    assert rows(tmp_path / "data", "items")[0]["year"] == 1999.0


def test_events_and_impressions_are_in_milliseconds(exported: Path, tmp_path: Path) -> None:
    convert(exported, tmp_path / "data")
    assert rows(tmp_path / "data", "events")[2] == {
        "user_id": "u2",
        "item_id": "i2",
        "event": "purchase",
        "timestamp": 1596238400000,
        "amount": 9.5,
    }
    shown = rows(tmp_path / "data", "impressions")
    # A recommendation is shown once, whatever was taken from it.
    assert [(one["request_id"], one["item_id"], one["position"]) for one in shown] == [
        ("r-1", "i1", 0),
        ("r-1", "i2", 1),
        ("r-1", "i3", 2),
        ("interactions-4", "i2", 0),
        ("interactions-4", "i1", 1),
    ]
    assert {one["timestamp"] for one in shown} == {1596238243000, 1596238400000}


def test_interactions_without_types_and_users_are_enough(tmp_path: Path) -> None:
    folder = tmp_path / "exported" / "Interactions"
    folder.mkdir(parents=True)
    (folder / "part-0.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu1,i1,1596238243\n")
    (folder / "part-1.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu2,i1,1596238244\nu2,i1,1596238244000\n,i1,1\n")
    (folder.parent / "items.csv").write_text("ITEM_ID\ni1\n")
    report = convert(folder.parent, tmp_path / "data")
    assert report.rows == {"items": 1, "events": 2}
    assert report.left_out == {
        "column TIMESTAMP: must be seconds since the epoch": 1,
        "column USER_ID: must be a string of 1 to 256 characters": 1,
    }
    assert report.examples["column TIMESTAMP: must be seconds since the epoch"] == ["part-1.csv, line 3"]
    assert DatasetSpec.read(tmp_path / "data" / "dataset.yaml").values == {"interaction": 1.0}


def test_a_log_without_a_good_row_is_refused(exported: Path, tmp_path: Path) -> None:
    (exported / "interactions.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\nu1,i1,never\n")
    with pytest.raises(DataError, match="no row of the log could be read"):
        convert(exported, tmp_path / "data")
    assert not list(tmp_path.glob("*data*"))
