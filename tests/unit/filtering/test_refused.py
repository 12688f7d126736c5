"""Filters that are refused: one clear sentence that names the field, the column and the character."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiny_release import SCHEMA, write_bare_release
from winnow.datasets.canonical.spec import DeclaredColumns
from winnow.features.catalog_columns import column_arrays
from winnow.filtering.filter import both, one_of, parse
from winnow.items.arrays import id_arrays
from winnow.items.columns import ItemColumns
from winnow.request import InvalidRequest

COLUMNS = "item_id, title, description, category, price, created_at, available, tags"


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> ItemColumns:
    texts = dict.fromkeys(("title", "description", "category"), pa.array(["a", None], pa.string()))
    table = pa.table(
        {
            **texts,
            "price": pa.array([1.0, math.nan], pa.float64()),
            "created_at": pa.array([1, None], pa.int64()),
            "available": pa.array([True, False]),
            "tags": pa.array([["a"], None], pa.list_(pa.string())),
        }
    )
    arrays, described = column_arrays(table, DeclaredColumns(categorical=("tags",)))
    folder: Path = tmp_path_factory.mktemp("release")
    ids = id_arrays(["", "a", "b"])
    return ItemColumns.of(write_bare_release(folder, SCHEMA, {**ids, **arrays}, "none", columns=described))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "ends too early: expected a column, `not` or `(`"),
        ("   ", "ends too early: expected a column, `not` or `(`"),
        ("price <", "ends too early: expected a number, a string in quotes, `true`, `false` or `null`"),
        ("price < 3 and", "ends too early: expected a column, `not` or `(`"),
        ("(price < 3", "ends too early: expected `)`"),
        ("price < 3)", "cannot be read at character 10, ')': expected the end"),
        ("price == 3", "cannot be read at character 8, '= 3': expected a number, a string"),
        ("price < 3; drop table items", "cannot be read at character 10, '; drop table items': expected"),
        ("title = 'a' -- comment", "cannot be read at character 13, '-- comment': expected "),
        ('title = \'a" or "a" = "a"', "cannot be read at character 9, "),
        ("price < 3 price", "cannot be read at character 11, 'price': expected `and`, `or` or the end"),
        ("prise < 3", f"column 'prise' at character 1 is not a column of the catalog; the columns are {COLUMNS}"),
        ("not (title = 'a' or `odd one` = 1)", "column 'odd one' at character 21 is not a column of the catalog"),
        ("price < 'x'", "column 'price' must be compared with a number at character 9, got 'x'"),
        ("price in (1, true)", "column 'price' must be compared with a number at character 14, got True"),
        ("title = 3", "column 'title' must be compared with a string in quotes at character 9, got 3.0"),
        ("available = 'yes'", "column 'available' must be compared with true or false at character 13, got 'yes'"),
        ("available < true", "column 'available' at character 1 is true or false, which has no order: use = or !="),
        ("tags < 'a'", "column 'tags' at character 1 is a list of texts, which has no order: use = or !="),
        ("tags = 3", "column 'tags' must be compared with a string in quotes at character 8, got 3.0"),
        ("tags like 'a%'", "column 'tags' at character 1 is a list of texts: `like` is for texts"),
        ("title contains 'a'", "column 'title' at character 1 is a text: `contains` is for lists"),
        ("price", "column 'price' at character 1 is a number and no condition by itself: compare it"),
        ("price = null", "column 'price' cannot be compared with null at character 9: use `is null`"),
        ("price in (null)", "column 'price' cannot be compared with null at character 11: use `is null`"),
        ("price = 1e999", "has a number that is too large at character 9"),
        ("price = -1e999", "has a number that is too large at character 9"),
        ("price = NaN", "cannot be read at character 9, 'NaN': expected a number"),
        ("price = Infinity", "cannot be read at character 9, 'Infinity': expected a number"),
        ("created_at > 'yesterday'", "column 'created_at' must be compared with a time as a string, as '2026-01-31T12"),
        ("created_at > '2026-02-30'", "at character 14, got '2026-02-30'"),
        ("created_at > 1.5", "at character 14, got 1.5"),
        ("created_at > 1e30", "at character 14, got 1e+30"),
        ("created_at > true", "at character 14, got True"),
        ("title like 'a'", "`like` at character 12 takes the beginning of a text and one % at its end, as 'abc%'"),
        ("title like '%a%'", "`like` at character 12 takes the beginning"),
        ("title like 'a_%'", "`like` at character 12 takes the beginning"),
        ("title = 'a\\qb'", "has the unknown escape \\q in the string at character 9"),
        ("price = 1 " * 3, "cannot be read at character 11, 'price = 1 price = 1 ': expected `and`, `or` or the end"),
        (" or ".join(["price=1"] * 101), "must have at most 100 comparisons, got 101"),
        (f"price in ({','.join(['1'] * 501)})", "must have at most 500 values after `in`, got 501"),
        ("price in ()", "cannot be read at character 11, ')': expected a number"),
        ("a" * 100_000, "must be at most 4000 characters, got 100000"),
        ("(" * 1990 + "price=1" + ")" * 1990, "must have at most 1500 words, values and signs"),
        ("not " * 998 + "price", "column 'price' at character 3993 is a number and no condition by itself"),
        ("(price=1 or (price=2 and " * 11 + "price=1" + "))" * 11, "must not nest `and` and `or` deeper than 20 times"),
        ('"' * 3999, "must have at most 1500 words, values and signs"),
        ('"' + "\\'" * 1333, "cannot be read at character 1, "),
        ("price = 1 and \x00", "cannot be read at character 15, '\\x00': expected a column, `not` or `(`"),
        ("price = \ud800", "cannot be read at character 9, '\\ud800': expected a number"),
        ("title = '\ud800'", "has a character at 10 that is no text: half of a surrogate pair"),
    ],
)
def test_it_is_refused_in_one_sentence(columns: ItemColumns, text: str, fault: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(text, columns, "instances[0].filters.where")
    message = str(refused.value)
    assert message.startswith("instances[0].filters.where: "), message
    assert fault in message, message
    assert len(message) < 400
    assert message.isascii()


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("title = 'a'", [1]),
        ("((((((((title = 'a'))))))))", [1]),
        ("not not NOT title = 'b'", [1]),
        ("TITLE is NULL".lower(), [2]),
        ('title = "\\u0041"'.replace("\\u0041", "a"), [1]),
        ("title='a'and(price=1)or price=2", [1]),
        ("`title` = 'a'", [1]),
        ("title != 'a\x00'", [1]),
        ("price in (1, 2., .5, 1e0, +1)", [1]),
        ("available", [1]),
        ("not available", [2]),
        ("price > -1e308", [1]),
        ("title like '%'", [1]),
        (f"title in ({', '.join(repr(str(n)) for n in range(499))}, 'a')", [1]),
        ("(price=1 or (price=2 and " * 5 + "price=1" + "))" * 5, [1]),
    ],
)
def test_it_is_read(columns: ItemColumns, text: str, matching: list[int]) -> None:
    assert np.flatnonzero(parse(text, columns).matches(columns)).tolist() == matching


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [
                *("price", "title", "tags", "(", ")", "and", "or", "not", "in", "is", "null", "like", "contains", "="),
                *("!=", ",", "1", "'a'", '"', "'", "\\", "`", "true", "%", " ", "\n", "\x00", "é", "\U0001f642", "-"),
            ]
        ),
        max_size=40,
    )
)
def test_any_text_is_read_or_refused(columns: ItemColumns, words: list[str]) -> None:
    text = " ".join(words)
    try:
        found = parse(text, columns)
    except InvalidRequest as refused:
        fault = str(refused)
    else:
        fault = ""
        assert found.matches(columns).shape == (3,)
    assert not fault or fault.startswith("where: ")


def test_categories_are_a_filter_as_well(columns: ItemColumns) -> None:
    category = one_of("category", ["a", 'it\'s "b" \\ c'])
    assert np.flatnonzero(category.matches(columns)).tolist() == [1]
    assert np.flatnonzero(parse(category.text, columns).matches(columns)).tolist() == [1]
    joined = both(category, parse("price = 2 or price = 1", columns))
    assert joined.columns == {"category", "price"}
    assert np.flatnonzero(joined.matches(columns)).tolist() == [1]
    assert joined.text == parse(joined.text, columns).text
    assert joined.mask(columns, np.array([2, 1, 1])).tolist() == [False, True, True]
