"""Data folders that once broke a build: each is read completely, or refused with the reason in one sentence."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.paths import SHARED
from winnow.datasets.ingest import ingest
from winnow.errors import DataError

CASES = SHARED / "cases"


class Read(NamedTuple):
    """The number of rows, and the messages."""

    items: int
    users: int
    events: int
    messages: tuple[str, ...] = ()


class Refused(NamedTuple):
    """The names in the sentence."""

    facts: tuple[str, ...]


SHOP = Read(60, 80, 1500)
EXPECTED: dict[str, Read | Refused] = {
    "bot-and-cold": Read(300, 49, 3318),
    "dup-all": Read(60, 80, 3000),
    "file-beside-folder": SHOP._replace(messages=("events: read from events.parquet and the 1 in events/ together",)),
    "funnel": Read(60, 80, 1800),
    "gbk-inter": Refused(("shop.inter: line 2 is not UTF-8: bytes d3 c3 bb a7", "iconv -f", "shop.inter")),
    "header-space": SHOP,
    "header-title": SHOP._replace(
        messages=tuple(
            f"items.csv: column '{name.title()}' is read as {name}" for name in ("title", "category", "price")
        )
    ),
    "iso-pg": SHOP,
    "iso-python": SHOP,
    "iso-z-micro": SHOP,
    "item-first-alone": Read(
        40,
        40,
        600,
        (
            "shop.inter: rating is read as rated_1 … rated_5, of value -1.5 … 2.5: up to rated_2 dislikes, from "
            "rated_4 conversions",
        ),
    ),
    "label01": Read(
        40,
        38,
        161,
        (
            "shop.inter: label above zero is read as an event of the type interaction; 439 of 600 rows are zero or "
            "below and no events",
        ),
    ),
    "latin1-body": Refused(("items.csv: line 2 is not UTF-8: bytes e9 20 72 65 after 'p000,caf'", "iconv -f latin1")),
    "latin1-header": Refused(("items.csv: line 1 is not UTF-8: bytes f6 df 65 0a", "iconv -f latin1")),
    "menu30": Read(30, 40, 2400),
    "seconds": Refused(
        (
            "events.csv, column timestamp: must be milliseconds since the epoch, but looks like seconds: multiply by",
            "1000 (1,500 rows), for example '1791697244'",
        )
    ),
    "twelve": Read(12, 20, 150),
    "twins": Read(300, 60, 1500),
    "two-kinds": SHOP,
}


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the folders that broke builds, is not there")
@pytest.mark.parametrize("case", EXPECTED)
def test_each_case_is_read_or_refused(case: str, tmp_path: Path) -> None:
    expected = EXPECTED[case]
    if isinstance(expected, Refused):
        with pytest.raises(DataError) as raised:
            ingest(str(CASES / case), tmp_path / "out")
        assert str(raised.value).startswith(
            f"The data set {CASES / case} cannot be used: 1 problem. Nothing was written."
        )
        assert all(fact in str(raised.value) for fact in expected.facts), str(raised.value)
        assert raised.value.exit_code == 2
        return
    data = ingest(str(CASES / case), tmp_path / "out")
    assert (data.items.num_rows, data.users.num_rows, data.events.num_rows) == expected[:3]
    assert tuple(data.account.lines()) == expected.messages
    if not case.startswith(("item-first", "label")):
        assert data.items["title"].null_count == data.items["category"].null_count == 0
        assert data.items["price"].null_count < data.items.num_rows
    assert {user[0] for user in data.users["user_id"].to_pylist()} - {"b"} == {"c"}


@pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases, the folders that broke builds, is not there")
def test_every_case_has_its_line() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in CASES.iterdir())
