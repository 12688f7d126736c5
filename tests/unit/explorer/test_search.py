"""The search of a catalog: any script, any case, bounded, and the same whether a block or an item is looked at."""

import numpy as np
import pytest

from winnow.arrays.strings import Strings
from winnow.explorer.catalog.search import MAX_HITS, MAX_WORDS, scan, words_of

TITLES = [
    "",
    "Small red LAMP",
    "Маленькая КРАСНАЯ лампа",
    "STRASSE und Straße",
    "红色的灯",
    "ΟΔΟΣ",
    "\uff21\uff52\uff4d\uff43\uff48\uff41\uff49\uff52",
    "cafe\u0301",
    "",
    "end",
    "begin",
    "<b>100% _wool_ .*</b>",
    "مصباح أحمر",
    "İstanbul",
]
IDS = ["", *(f"i{number:02d}" for number in range(1, len(TITLES)))]


def found(query: str, *columns: list[str]) -> list[int]:
    """The items of a query."""
    result = scan([Strings.of(column) for column in columns or (TITLES, IDS)], words_of(query))
    return [int(item) for item in result.items]


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("lamp", [1]),
        ("LAMP small", [1]),
        ("лАмПа", [2]),
        ("strasse", [3]),
        ("STRAẞE", [3]),
        ("灯", [4]),
        ("οδος", [5]),
        ("armchair", [6]),
        ("CAFÉ", [7]),
        ("مصباح", [12]),
        ("i0", list(range(1, 10))),
        ("i04", [4]),
        ("I04", [4]),
        ("100% _wool_ .*</b>", [11]),
        ("endbegin", []),
        ("red лампа", []),
        ("red i01", [1]),
    ],
)
def test_words_are_found_in_titles_and_ids(query: str, items: list[int]) -> None:
    assert found(query) == items


def test_no_titles_and_no_items() -> None:
    assert found("i03", IDS) == [3]
    assert found("anything", [""]) == []
    assert scan([Strings.of([""])], ["a"]).complete


def test_only_some_items_count() -> None:
    texts = [Strings.of(IDS)]
    within = np.zeros(len(IDS), np.bool_)
    within[[2, 5]] = True
    assert scan(texts, ["i0"], within).items.tolist() == [2, 5]


def test_a_query_has_a_bound_on_its_words() -> None:
    assert len(words_of(" ".join(map(str, range(100))))) == MAX_WORDS
    assert words_of("Red red RED") == ["red"]


@pytest.fixture(scope="module")
def million() -> list[Strings]:
    """The titles and ids of 1,000,000 items."""
    titles = Strings.of(["", *(f"Title of Item {number}" for number in range(1, 1_000_001))])
    return [titles, Strings.of(["", *(f"i{number:07d}" for number in range(1, 1_000_001))])]


def test_a_word_of_a_million_items_is_found_in_the_last_one(million: list[Strings]) -> None:
    result = scan(million, words_of("TITLE 999999"), seconds=60)
    assert result.items.tolist() == [999_999]
    assert (result.complete, result.scanned) == (True, 1_000_000)


def test_a_word_of_every_item_ends_the_scan(million: list[Strings]) -> None:
    result = scan(million, words_of("title"), seconds=60)
    assert len(result.items) == MAX_HITS
    assert not result.complete
    assert result.scanned < 2 * MAX_HITS


def test_the_time_is_bounded(million: list[Strings]) -> None:
    result = scan(million, words_of("missing"), seconds=0)
    assert (len(result.items), result.scanned, result.complete) == (0, 0, False)
