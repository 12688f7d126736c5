"""Formats of timestamps: single values as in requests, and whole columns as in files."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from winnow import moments
from winnow.datasets.canonical import times

NOON = 1_767_268_800_123  # 2026-01-01T12:00:00.123Z


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T12:00:00.123Z", NOON),
        ("2026-01-01t12:00:00.123z", NOON),
        ("2026-01-01T12:00:00.123456Z", NOON),
        ("2026-01-01T12:00:00.123456789Z", NOON),
        ("2026-01-01 12:00:00.123456+00", NOON),  # PostgreSQL
        ("2026-01-01 17:30:00.123+05:30", NOON),
        ("2026-01-01 17:30:00.123 +0530", NOON),  # Ruby
        ("2026-01-01 12:00:00.123456 UTC", NOON),  # BigQuery
        ("2026-01-01T07:00:00.123-05:00", NOON),
        ("2026-01-01T12:00:00,123Z", NOON),
        (" 2026-01-01T12:00:00.123 ", NOON),  # without an offset it is UTC
        ("2026-01-01T12:00:00-00:00", NOON - 123),
        ("2026-01-01T12:00Z", NOON - 123),
        ("2026-01-01", NOON - 123 - 12 * 3_600_000),
        ("1890-01-01 00:00:00+00:53:28", -2_524_524_808_000),  # local mean time
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),  # a leap second
        ("1969-12-31T23:59:59.9999Z", -1),  # truncated, not rounded
    ],
)
def test_requests_and_files_read_a_timestamp_alike(text: str, moment: int) -> None:
    assert moments.parse(text) == moment
    assert times.read(pa.chunked_array([[text]])).to_pylist() == [moment]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-02-30",
        "2026-01-01T25:00:00Z",
        "2026-01-01T12:00:00+5",
        "2026-01-01T",
        "2026-1-1",
        "01/02/2026",
    ],
)
def test_requests_and_files_refuse_the_same_timestamps(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moments.parse(text)
    assert times.read(pa.chunked_array([[text]])).to_pylist() == [None]


def test_pythons_iso_format_is_read() -> None:
    zones = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11)), None]
    for zone in zones:
        for micros in (0, 1, 500_000):
            written = datetime(2026, 10, 11, 5, 40, 44, micros, zone)
            expected = (written.replace(tzinfo=zone or UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
                milliseconds=1
            )
            for text in (written.isoformat(), str(written), written.isoformat(timespec="milliseconds")):
                assert moments.parse(text) == expected, text
                assert times.read(pa.chunked_array([[text]])).to_pylist() == [expected], text


def test_formats_may_be_mixed_in_a_column_and_a_bad_value_spoils_no_other() -> None:
    forms = ["2026-01-01T12:00:00.123Z", str(NOON), "2026-01-01 17:30:00.123456+05:30", None, "2026-01-01T12:00:00.123"]
    column = pa.chunked_array([forms * 30_000, ["rubbish", *forms]])
    read = times.read(column)
    assert read.null_count == 30_002
    assert read[0].as_py() == read[2].as_py() == read[-1].as_py() == NOON
    assert read[150_000].as_py() is None
    assert set(read.drop_null().to_pylist()) == {NOON}


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (NOON, None),
        (NOON // 1000, "looks like seconds: multiply by 1000"),
        (NOON * 1000, "looks like micro- or nanoseconds"),
        (NOON + 61_000, "in the past"),
        (NOON + 59_000, None),
        (0, "later than 1973"),
        (-5, "later than 1973"),
        (2**70, "looks like micro- or nanoseconds"),
    ],
)
def test_an_events_timestamp_is_plausible(moment: int, said: str | None) -> None:
    fault = moments.fault(moment, moments.implausible_events(NOON, 60_000))
    assert fault is None if said is None else said in str(fault)


@pytest.mark.parametrize(
    ("moment", "plausible"),
    [
        (NOON, True),
        (NOON * 2, True),
        (-631_152_000_000, True),
        (NOON // 1000, False),
        (NOON * 1000, False),
        (-(10**15), False),
    ],
)
def test_an_items_timestamp_may_be_in_the_future_or_long_ago(moment: int, plausible: bool) -> None:
    assert (moments.fault(moment, moments.IMPLAUSIBLE_CREATION) is None) == plausible
