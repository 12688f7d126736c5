"""Clicks by quote: each slot once, unquoted events for none, and the same from files of earlier versions and Redis."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.support.tiny_release import write_bare_release
from winnow.cli.app import commands
from winnow.errors import WinnowError
from winnow.evaluation.attribution.log import Slots, attributed, exported, live
from winnow.evaluation.attribution.report import report
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE
from winnow.items.arrays import id_arrays
from winnow.schema import Feature, FeatureSchema

START = 1_700_000_000_000
POSITIVE, CONVERSIONS = ("view", "buy"), ("buy",)
SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=1),),
    user=(),
    events=("view", "buy", "dislike"),
    event_values=(1.0, 4.0, -5.0),
    event_windows_ms=(1, 1, 1),
    conversions=CONVERSIONS,
)


def shown(name: str | None, first: int, *items: str, release: int = 1, **arms: str) -> dict[str, Any]:
    slots = [
        {"item_id": item, "position": first + n, "score": 0.0, "propensity": 1.0, "sources": ["retriever", item]}
        for n, item in enumerate(items)
    ]
    named = [{"experiment": experiment, "arm": arm} for experiment, arm in arms.items()]
    return {"recommendation_id": name, "first": first, "release": release, "items": slots, "arms": named}


def event(name: str | None, item: str, kind: str, event_id: str | None = None) -> dict[str, Any]:
    return {"recommendation_id": name, "item_id": item, "event": kind, "event_id": event_id, "timestamp": START}


IMPRESSIONS = [
    shown("one", 0, "a", "b", "\u0634\u06cc", e="old"),
    shown("one", 0, "a", "b", "\u0634\u06cc", e="old"),
    shown("two", 50, "a", "d", release=2, e="new", f="x"),
    shown(None, 0, "a"),
    shown("none", 0),
]
EVENTS = [
    event("one", "a", "view"),
    event("one", "a", "view"),
    event("one", "a", "buy"),
    event("one", "b", "dislike"),
    event("two", "d", "view", "same"),
    event("two", "d", "view", "same"),
    event("two", "b", "view"),
    event("gone", "a", "view"),
    event(None, "a", "buy"),
]


def write(folder: Path, impressions: list[dict[str, Any]], events: list[dict[str, Any]], moment: int = START) -> str:
    for table, rows in ((IMPRESSION_TABLE, impressions), (EVENT_TABLE, events)):
        if rows:
            numbered = [{"stream_id": f"{moment}-{n}"} | row for n, row in enumerate(rows)]
            export_files.write(str(folder), table, numbered)
    return str(folder)


def found(folder: str) -> Slots:
    return attributed(exported(folder), POSITIVE, CONVERSIONS)


def test_each_slot_counts_once_and_by_its_quote(tmp_path: Path) -> None:
    result = report(found(write(tmp_path, IMPRESSIONS, EVENTS)))
    assert (result.total.shown, result.total.clicks.hits, result.total.conversions.hits) == (5, 2, 1)
    assert {row.name: (row.shown, row.clicks.hits) for row in result.source} == {
        "retriever": (5, 2),
        "a": (2, 1),
        "b": (1, 0),
        "\u0634\u06cc": (1, 0),
        "d": (1, 1),
    }
    assert [(row.name, row.shown, row.clicks.hits) for row in result.position] == [
        ("0", 1, 1),
        ("1", 1, 0),
        ("2", 1, 0),
        ("50-99", 2, 1),
    ]
    assert [(row.name, row.shown, row.conversions.hits) for row in result.release] == [("1", 3, 1), ("2", 2, 0)]
    assert [(row.name, row.shown, row.clicks.hits) for row in result.arm] == [
        ("e: new", 2, 1),
        ("e: old", 3, 1),
        ("f: x", 2, 1),
    ]
    assert result.notes == [
        "1 of 8 events quote no recommendation, and count for none",
        "1 answers have no recommendation_id: they are of an earlier version",
        "1 events quote a recommendation that is not in the log, such as one that was trimmed",
        "1 events quote a recommendation that did not show their item",
    ]


def test_intervals_are_wilson_s(tmp_path: Path) -> None:
    impressions = [shown(f"r{n}", 0, "a") for n in range(10)]
    events = [event("r0", "a", "view"), event("r1", "a", "view")]
    clicks = report(found(write(tmp_path, impressions, events))).total.clicks
    # Wilson's interval of 2 in 10, as textbooks give it.
    assert (clicks.rate, clicks.low, clicks.high) == (
        0.2,
        pytest.approx(0.0567, abs=1e-4),
        pytest.approx(0.5098, abs=1e-4),
    )


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    expected = report(found(write(tmp_path / "log", IMPRESSIONS, EVENTS)))
    write(tmp_path / "earlier", [shown(None, 0, "x")], [event(None, "x", "view")], START - 1)
    for table in ("impressions", "events"):
        [file] = (tmp_path / "earlier" / table).iterdir()
        kept = pq.read_table(file).drop_columns(["recommendation_id"])
        pq.write_table(kept, tmp_path / "log" / table / f"{START - 1}-0.parquet")
    result = report(found(str(tmp_path / "log")))
    assert result[:-1] == expected[:-1]
    assert result.notes[:2] == [
        "2 of 9 events quote no recommendation, and count for none",
        "2 answers have no recommendation_id: they are of an earlier version",
    ]


def test_a_log_without_clicks_or_events_has_rates_of_zero(tmp_path: Path) -> None:
    only_shown = report(found(write(tmp_path / "shown", IMPRESSIONS[:1], [])))
    assert (only_shown.total.shown, only_shown.total.clicks.rate) == (3, 0.0)
    nothing = report(found(write(tmp_path / "nothing", IMPRESSIONS[-1:], EVENTS)))
    assert (nothing.total.shown, nothing.total.clicks.rate, nothing.source) == (0, None, [])
    with pytest.raises(WinnowError, match="has no impressions: run `winnow events export` first"):
        exported(str(tmp_path / "missing"))


def test_the_command_prints_tables_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "140")
    write_bare_release(tmp_path / "releases", SCHEMA, id_arrays(["", "a"]), "none")
    write(tmp_path / "events", IMPRESSIONS, EVENTS)
    run = CliRunner().invoke(commands, ["events", "report", "--json"])
    assert run.exit_code == 0, run.output
    document = json.loads(run.stdout)
    assert document["total"]["clicks"]["hits"] == 2
    assert [row["name"] for row in document["arm"]] == ["e: new", "e: old", "f: x"]
    shown_tables = CliRunner().invoke(commands, ["events", "report"])
    assert "40.00%" in shown_tables.stdout
    assert "left out: 1 of 8 events quote no recommendation" in shown_tables.stdout


def test_a_redis_that_is_away_is_named() -> None:
    with pytest.raises(WinnowError):
        live("redis://127.0.0.1:1/0")
