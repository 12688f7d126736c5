"""The values of the catalog's columns: as the catalog has them, in every kind, and while items change."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.tiny_release import SCHEMA, write_bare_release
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.features.catalog_columns import column_arrays
from winnow.items.arrays import id_arrays
from winnow.items.columns import ItemColumns
from winnow.release import Release

DECLARED = DeclaredColumns(categorical=("brand", "tags", "стиль/1"), numeric=("grams",))
ROWS: list[dict[str, Any]] = [
    {
        "item_id": "p1",
        "title": "Lamp",
        "description": "warm light " * 30,
        "category": "home",
        "price": 19.5,
        "created_at": 1_700_000_000_000,
        "available": True,
        "brand": "Ärla",
        "tags": ["red", "small", "red"],
        "стиль/1": "лофт",
        "grams": -3.0,
    },
    {"item_id": "p2", "available": False, "tags": []},
    {"item_id": "п3", "title": "Лампа", "category": "home", "price": 0.0, "created_at": -5, "available": True},
    {"item_id": "p4", "brand": "Zed", "tags": ["", "blue"], "available": True, "grams": 1e300},
]
TYPES = {"price": pa.float64(), "created_at": pa.int64(), "available": pa.bool_(), "grams": pa.float64()}
NAMES = ("item_id", "title", "description", "category", "price", "created_at", "available", *DECLARED.names)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    types = {name: pa.string() for name in NAMES} | TYPES | {"tags": pa.list_(pa.string())}
    return pa.table({name: pa.array([row.get(name) for row in rows], types[name]) for name in NAMES})


def written(folder: Path, rows: list[dict[str, Any]]) -> Release:
    arrays, described = column_arrays(table(rows), DECLARED)
    ids = id_arrays(["", *(row["item_id"] for row in rows)])
    return write_bare_release(folder, SCHEMA, {**ids, **arrays}, "none", columns=described)


@pytest.fixture
def columns(tmp_path: Path) -> ItemColumns:
    return ItemColumns.of(written(tmp_path, ROWS))


def test_documents_are_the_rows_of_the_catalog(columns: ItemColumns) -> None:
    assert [columns.document(index) for index in (1, 2, 3, 4)] == ROWS
    assert columns.document(0) == {}
    assert columns.names == NAMES
    assert columns.kinds == {
        "item_id": "text",
        "title": "text",
        "description": "text",
        "category": "text",
        "price": "number",
        "created_at": "time",
        "available": "boolean",
        "brand": "text",
        "tags": "texts",
        "стиль/1": "text",
        "grams": "number",
    }


def test_the_manifest_covers_every_array_of_the_columns(tmp_path: Path) -> None:
    release = written(tmp_path, ROWS)
    names = json.loads((release.folder / "columns.json").read_text())
    for number in range(len(names)):
        assert f"column_{number}.npy" in release.manifest.files
    release.verify()
    (release.folder / "column_3.npy").write_bytes(b"other")
    with pytest.raises(Exception, match=r"column_3\.npy is missing or has changed"):
        release.verify()


def test_a_changed_or_added_item_reads_as_its_last_document(tmp_path: Path) -> None:
    release = written(tmp_path, ROWS)
    columns, other = ItemColumns.of(release), ItemColumns.of(release)
    changed = {**ROWS[0], "price": 5.0, "brand": "Unheard", "tags": ["green"], "title": "Lamp II", "available": False}
    added = {"item_id": "new", "brand": "Unheard", "tags": ["green", "red"], "created_at": 7, "price": 1.0}
    columns.put(1, changed)
    columns.put(9, added)
    columns.put(9, added | {"price": 2.0})
    columns.put(4, {"item_id": "p4"})
    assert columns.document(1) == changed
    assert columns.document(9) == added | {"price": 2.0}
    assert columns.document(4) == {"item_id": "p4"}
    # Between the release and an added item there may be items that only other processes know.
    assert columns.document(7) == {} == columns.document(500)
    assert (columns.changes, columns.count) == (4, 10)
    assert columns.changed_since(0).tolist() == [1, 4, 9]  # type: ignore[union-attr]
    assert columns.changed_since(3).tolist() == [4]  # type: ignore[union-attr]
    assert columns.changed_since(4).tolist() == []  # type: ignore[union-attr]
    assert [other.document(index) for index in (1, 2, 3, 4)] == ROWS
    release.verify()


def test_a_value_that_is_not_of_the_release_is_left_out_and_an_empty_text_is_null(columns: ItemColumns) -> None:
    columns.put(6, {"item_id": "n", "unknown": 3, "title": "", "brand": "", "tags": "one"})
    assert columns.document(6) == {"item_id": "n", "tags": ["one"]}
    columns.put(6, {"item_id": "n", "brand": ["first", "second"]})
    assert columns.document(6) == {"item_id": "n", "brand": "first"}


def test_changes_that_are_long_past_are_forgotten(columns: ItemColumns) -> None:
    for _ in range(200_001):
        columns.changes += 0
        columns._log.append(2)
    columns.changes = 200_001
    columns.put(1, ROWS[0])
    assert columns.changed_since(0) is None
    assert columns.changed_since(150_000).tolist() == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize("items", [None, np.array([4, 0, 2, 1, 3, 6])])
def test_every_test_of_a_column_is_that_of_its_values(tmp_path: Path, items: Any) -> None:
    for moment in ("as built", "changed"):
        columns = ItemColumns.of(written(tmp_path / moment, ROWS))
        if moment == "changed":
            for index, row in ((3, ROWS[0]), (1, {"item_id": "p1"}), (6, {**ROWS[3], "brand": "Aa", "tags": ["x"]})):
                columns.put(index, row)
        indices = [0, 1, 2, 3, 4] if items is None else items.tolist()
        for name in columns.names:
            column, values = columns[name], [columns.document(index).get(name) for index in indices]
            assert column.is_null(items).tolist() == [value is None for value in values]
            known = {str(each): each for row in ROWS if (each := row.get(name)) is not None}.values()
            wanted = [one for each in known for one in (each if isinstance(each, list) else [each])][:3]
            wanted += ["not there"] if columns.kinds[name] in ("text", "texts") else []
            expected = [any(one in _listed(value) for one in wanted) for value in values]
            assert column.among(items, wanted).tolist() == expected, name
            for one in wanted:
                assert column.among(items, [one]).tolist() == [one in _listed(value) for value in values]
            if columns.kinds[name] in ("number", "text", "time"):
                for one in (*wanted, *([one[:2] for one in wanted] if columns.kinds[name] == "text" else ())):
                    for comparison, holds in {
                        "<": lambda a, b: a < b,
                        "<=": lambda a, b: a <= b,
                        ">": lambda a, b: a > b,
                        ">=": lambda a, b: a >= b,
                    }.items():
                        expected = [value is not None and holds(value, one) for value in values]
                        found = column.compare(items, comparison, one)  # type: ignore[arg-type]
                        assert found.tolist() == expected, (name, comparison, one)
            if columns.kinds[name] == "text":
                for prefix in (*(one[:2] for one in wanted), "", "zz"):
                    expected = [value is not None and value.startswith(prefix) for value in values]
                    assert column.starts(items, prefix).tolist() == expected, (name, prefix)
            else:
                with pytest.raises(TypeError):
                    column.starts(items, "a")
        with pytest.raises(TypeError):
            columns["tags"].compare(items, "<", "a")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def test_a_release_without_columns_has_none(tmp_path: Path) -> None:
    columns = ItemColumns.of(write_bare_release(tmp_path, SCHEMA, id_arrays(["", "a"]), "none"))
    columns.put(2, {"item_id": "b", "price": 3.0})
    assert (columns.names, columns.document(1), columns.document(2)) == ((), {}, {})


def test_a_catalog_of_nulls_and_one_of_a_single_item(tmp_path: Path) -> None:
    columns = ItemColumns.of(written(tmp_path, [{"item_id": "only"}]))
    assert columns.document(1) == {"item_id": "only"}
    for name in columns.names[1:]:
        assert columns[name].is_null(None).tolist() == [True, True]


def test_opening_and_reading_columns_allocates_nothing_per_item(tmp_path: Path) -> None:
    count = 20_000
    rows = [{**ROWS[0], "item_id": f"i{index}", "brand": f"brand {index}"} for index in range(count)]
    release = written(tmp_path, rows)
    ItemColumns.of(release)
    tracemalloc.start()
    try:
        columns = ItemColumns.of(release)
        columns.put(5, columns.document(6) | {"price": 1.0})
        assert columns["brand"].among(np.array([6]), ["brand 5"]).tolist() == [True]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * count
