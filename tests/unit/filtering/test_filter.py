"""Filters match the items that DuckDB's WHERE matches on the same catalog, NULLs included."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiny_release import SCHEMA, write_bare_release
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.features.catalog_columns import column_arrays
from winnow.filtering.filter import parse
from winnow.items.arrays import id_arrays
from winnow.items.columns import ItemColumns

ITEMS = 400
TYPES = {
    "title": pa.string(),
    "description": pa.string(),
    "category": pa.string(),
    "price": pa.float64(),
    "created_at": pa.int64(),
    "available": pa.bool_(),
    "brand": pa.string(),
    "odd name": pa.string(),
    "tags": pa.list_(pa.string()),
    "grams": pa.float64(),
}
DECLARED = DeclaredColumns(categorical=("brand", "odd name", "tags"), numeric=("grams",))
TEXTS = ["A", "Aa", "a", "b", 'it"s', "it's", "Лампа", "лампа", "a\nb", "\U0001f642", "back\\slash", "x" * 40]
NUMBERS = [0.0, -1.5, 3.0, 19.99, 20.0, 1e9]
TIMES = {
    1_704_067_200_000: "2024-01-01",
    1_704_110_400_500: "2024-01-01T13:00:00.5+01:00",
    -1: "1969-12-31T23:59:59.999Z",
}


def _catalog() -> pa.Table:
    rng = np.random.default_rng(5)

    def some(values: list[Any], nulls: float = 0.3) -> list[Any]:
        return [None if rng.random() < nulls else values[rng.integers(len(values))] for _ in range(ITEMS)]

    columns: dict[str, list[Any]] = {
        "title": some(TEXTS),
        "description": some([*TEXTS, "long " * 50]),
        "category": some(TEXTS[:4]),
        "price": some(NUMBERS),
        "created_at": some(list(TIMES)),
        "available": some([True, False], 0),
        "brand": some(TEXTS),
        "odd name": some(TEXTS),
        "tags": some([[], ["A"], ["A", "b"], ["", "a"], ["b", "b", "it's"], ["Лампа"]]),
        "grams": [None] * ITEMS,
    }
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})


CATALOG = _catalog()


def _written(folder: Path, catalog: pa.Table) -> ItemColumns:
    arrays, described = column_arrays(catalog, DECLARED)
    ids = id_arrays(["", *(f"item-{index}" for index in range(1, len(catalog) + 1))])
    return ItemColumns.of(write_bare_release(folder, SCHEMA, {**ids, **arrays}, "none", columns=described))


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> ItemColumns:
    return _written(tmp_path_factory.mktemp("release"), CATALOG)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> ItemColumns:
    """The same catalog, of which the release has a half; the rest was added, and part of it changed, afterwards."""
    half = ITEMS // 2
    found = _written(tmp_path_factory.mktemp("half"), pa.concat_tables([CATALOG[:half]]))
    rows = CATALOG.to_pylist()
    for index in (*range(half + 1, ITEMS + 1), *range(3, half, 7)):
        found.put(index, {"item_id": f"item-{index}", **rows[(index + 1) % ITEMS]})
    for index in (*range(half + 1, ITEMS + 1), *range(3, half, 7)):
        found.put(index, {"item_id": f"item-{index}", **rows[index - 1]})
    return found


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    numbered = CATALOG.append_column("index", pa.array(range(1, ITEMS + 1)))
    numbered = numbered.append_column("item_id", pa.array([f"item-{index}" for index in range(1, ITEMS + 1)]))
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("given", numbered)
    connection.execute("CREATE TABLE items AS SELECT * FROM given")
    return connection


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(column: str) -> tuple[str, str]:
    return f"`{column}`" if " " in column else column, f'"{column}"'


_TEXT_COLUMNS = ("title", "description", "category", "brand", "odd name", "item_id")
_OPERATORS = ("=", "!=", "<>", "<", "<=", ">", ">=")
_LITERALS = {
    "text": st.sampled_from([*TEXTS, "item-7", "not there", "", "item-2", "\x00"[:0] + "Z"]).map(
        lambda text: (_quoted(text), _sql(text))
    ),
    "number": st.one_of(st.sampled_from(NUMBERS), st.floats(-30, 30, allow_subnormal=False), st.integers(-5, 25)).map(
        lambda number: (repr(number), f"{number!r}::DOUBLE")
    ),
    "time": st.sampled_from(
        [*((f'"{text}"', str(ms)) for ms, text in TIMES.items()), ("1704067200000", "1704067200000")]
    ),
    "boolean": st.sampled_from([("true", "true"), ("FALSE", "false")]),
}
_KINDS = dict.fromkeys(_TEXT_COLUMNS, "text") | {
    "price": "number",
    "grams": "number",
    "created_at": "time",
    "available": "boolean",
}


@st.composite
def _comparison(draw: st.DrawFn) -> tuple[str, str]:
    column = draw(st.sampled_from([*_KINDS, "tags", "tags"]))
    ours, sql = _name(column)
    literal = _LITERALS[_KINDS.get(column, "text")]
    form = draw(st.sampled_from(("compare", "compare", "in", "null", "own")))
    negated = draw(st.booleans())
    if form == "null":
        return f"{ours} IS {'not ' * negated}null", f"{sql} IS {'NOT ' * negated}NULL"
    if form == "in":
        values = draw(st.lists(literal, min_size=1, max_size=5))
        listed, theirs = (", ".join(value[side] for value in values) for side in (0, 1))
        ours = f"{ours} {'NOT ' * negated}in ({listed})"
        if column == "tags":
            return ours, f"{'NOT ' * negated}list_has_any({sql}, [{theirs}])"
        return ours, f"{sql} {'NOT ' * negated}IN ({theirs})"
    value, theirs = draw(literal)
    if column == "tags":
        contains = f"{'NOT ' * negated}list_contains({sql}, {theirs})"
        written = f"{'not ' * negated}{ours} contains {value}" if form == "own" else f"{ours} {'!' * negated}= {value}"
        return written, contains
    if form == "own" and _KINDS[column] == "text":
        prefix = draw(st.sampled_from(["A", "a", "it", "Ла", "item-1", "", "x" * 30, "\U0001f642"]))
        return (
            f"{ours} {'not ' * negated}like {_quoted(prefix + '%')}",
            f"{sql} {'NOT ' * negated}LIKE {_sql(prefix + '%')}",
        )
    if form == "own" and column == "available":
        return f"{'not ' * negated}available", f"{'NOT ' * negated}available"
    operator = draw(st.sampled_from(_OPERATORS[:3] if column == "available" else _OPERATORS))
    return f"{ours}{operator}{value}", f"{sql} {operator} {theirs}"


def _joined(parts: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[tuple[str, str]]:
    several = st.tuples(st.sampled_from((" and ", " OR ")), st.lists(parts, min_size=2, max_size=3))
    both = several.map(lambda found: tuple(found[0].join(f"({one[side]})" for one in found[1]) for side in (0, 1)))
    bare = st.lists(parts, min_size=3, max_size=3).map(
        lambda found: tuple(f"{found[0][side]} or {found[1][side]} and not ({found[2][side]})" for side in (0, 1))
    )
    negated = parts.map(lambda one: (f"not ({one[0]})", f"NOT ({one[1]})"))
    return st.one_of(both, bare, negated)


EXPRESSIONS = st.recursive(_comparison(), _joined, max_leaves=6)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(EXPRESSIONS)
def test_it_matches_what_duckdb_matches(
    columns: ItemColumns, grown: ItemColumns, database: duckdb.DuckDBPyConnection, expression: tuple[str, str]
) -> None:
    ours, sql = expression
    found = database.execute(f'SELECT "index" FROM items WHERE {sql} ORDER BY "index"').fetchall()
    expected = [index for (index,) in found]
    some = np.array([7, 0, 300, 7, 201, 200, 10 * ITEMS])
    among = np.isin(some, expected).tolist()
    for catalog in (columns, grown):
        parsed = parse(ours, catalog)
        assert np.flatnonzero(parsed.matches(catalog)).tolist() == expected, ours
        few = parsed.mask(catalog, some).tolist()
        # Neither the padding item nor one that is unknown here is in DuckDB's table.
        assert [one for one, index in zip(few, some.tolist(), strict=True) if 0 < index <= ITEMS] == [
            one for one, index in zip(among, some.tolist(), strict=True) if 0 < index <= ITEMS
        ]
