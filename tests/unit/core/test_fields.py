"""Ids and timestamps in requests: refused with the same sentence as in files."""

import time

import pyarrow as pa
import pytest
from pydantic import Field

from recommender_transformer.serving.protocols import cloudevents
from winnow import fields, moments
from winnow.datasets.canonical.raw import RawDataset, RawTable
from winnow.datasets.canonical.spec import DatasetSpec
from winnow.datasets.canonical.validate import validate
from winnow.errors import DataError
from winnow.fields import Created, Happened, Identifier
from winnow.request import Contract, InvalidRequest, RecommendRequest, parse_all

# The start of the day: the names of the tests are the same in every process that runs them.
NOW = int(time.time()) // 86_400 * 86_400_000
SPEC = DatasetSpec(name="x", events={"view": 1})


class Fields(Contract):
    """The fields of events and items with checks of their own."""

    user_id: Identifier = Field(default="u", description=fields.LENGTH)
    timestamp: Happened = NOW
    created_at: Created | None = None


def refused(instance: dict[str, object]) -> str:
    with pytest.raises(InvalidRequest) as raised:
        parse_all(Fields, [instance])
    return str(raised.value)


def refused_in_a_file(**change: object) -> str:
    row = {"user_id": "u", "timestamp": NOW, "created_at": None} | change
    items = pa.table({"item_id": ["a"], "created_at": pa.array([row.pop("created_at")], pa.int64())})
    events = pa.table({"item_id": ["a"], "event": ["view"]} | {name: [value] for name, value in row.items()})
    source = RawDataset("x", "/x", SPEC, RawTable.of("items.csv", items), None, RawTable.of("events.csv", events))
    with pytest.raises(DataError) as raised:
        validate(source)
    return str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", NOW // 1000),
        ("timestamp", NOW * 1000),
        ("timestamp", NOW + 10 * 86_400_000),
        ("timestamp", 0),
        ("timestamp", -1),
        ("created_at", NOW // 1000),
        ("created_at", NOW * 1000),
        ("user_id", "u" * 257),
        ("user_id", "u\x00"),
        ("user_id", "u\x9f"),
        ("user_id", "line\nbreak"),
    ],
)
def test_requests_and_files_are_refused_with_the_same_words(field: str, value: object) -> None:
    said = refused({field: value})
    assert said.startswith(f"instances[0].{field}: must be ")
    words = said.removeprefix(f"instances[0].{field}: ").rpartition(", got ")[0]
    assert f"column {field}: {words} (1 row)" in refused_in_a_file(**{field: value})


@pytest.mark.parametrize("written", ["2026-01-31T12:00:00.5Z", "2026-01-31 12:00:00.50+00", "2026-01-31T12:00:00.5"])
def test_requests_and_files_write_timestamps_alike(written: str) -> None:
    [parsed] = parse_all(Fields, [{"timestamp": written, "created_at": written}])
    assert parsed.timestamp == parsed.created_at == 1_769_860_800_500


@pytest.mark.parametrize("value", ["soon", "", str(NOW), True, 1.5, [], None])
def test_an_invalid_timestamp_is_named(value: object) -> None:
    said = refused({"timestamp": value})
    assert said.startswith("instances[0].timestamp: must be ")
    assert said.endswith(f", got {value!r}")
    if isinstance(value, str):
        assert moments.IN_WORDS in said


def test_a_timestamp_may_be_a_minute_ahead() -> None:
    now = int(time.time() * 1000)
    assert parse_all(Fields, [{"timestamp": now + 30_000}])
    assert "must be in the past" in refused({"timestamp": now + 120_000})


def test_an_items_date_may_be_before_the_epoch_or_in_the_future() -> None:
    created = [{"created_at": -631_152_000_000}, {"created_at": "1950-01-01"}, {"created_at": NOW + 10**10}]
    assert [parsed.created_at for parsed in parse_all(Fields, created)][:2] == [-631_152_000_000] * 2


def test_a_request_names_no_user_with_control_characters() -> None:
    with pytest.raises(InvalidRequest, match=r"user_id: must be free of control characters, got 'a\\x00'"):
        parse_all(RecommendRequest, [{"user_id": "a\x00"}])
    with pytest.raises(InvalidRequest, match=r"filters\.exclude_items\[0\]: must be free of control characters, got"):
        parse_all(RecommendRequest, [{"user_id": "a", "filters": {"exclude_items": ["\x7f"]}}])
    assert parse_all(RecommendRequest, [{"user_id": "a", "filters": {"categories": ["Home\tGarden"]}}])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ce-time": "1970-01-21T12:00:00Z"}, "ce.time: must be milliseconds since the epoch, but looks like seconds"),
        ({"ce-time": "2999-01-01T00:00:00Z"}, "ce.time: must be in the past: correct the clock"),
        ({"ce-time": "noon"}, "ce.time: must be a time as 2026-01-31T12:00:00Z, got 'noon'"),
        ({"ce-id": "%00"}, r"ce.id: must be free of control characters, got '\x00'"),
        ({"ce-id": "i" * 256}, "ce.id: must be, with its source and a space, a string of 1 to 256 characters"),
    ],
)
def test_a_cloudevents_attribute_is_named(change: dict[str, str], said: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "view"} | change
    with pytest.raises(InvalidRequest) as raised:
        cloudevents.decode(b"{}", headers, "binary")
    assert str(raised.value).startswith(said)


def test_a_cloudevents_time_is_read_like_every_timestamp() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": "view"}
    for written in ("2026-01-31t12:00:00.5z", "2026-01-31 12:00:00.500000+00", "2026-01-31T12:00:00.5"):
        [event] = cloudevents.decode(b"{}", headers | {"ce-time": written}, "binary").events
        assert event.timestamp == 1_769_860_800_500
