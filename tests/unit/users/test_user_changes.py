"""Changes of users in a data set: attributes over the users table, merges, erasures; and what is extracted."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical.account import last_user_change
from winnow.datasets.canonical.dataset import Dataset
from winnow.datasets.ingest import ingest
from winnow.erasures.digest import VARIABLE, digest, key_id
from winnow.errors import DataError
from winnow.features.extract import FeatureEncoding, extract
from winnow.features.row import UserRowEncoder
from winnow.feedback.export_files import USER_CHANGE_SCHEMA
from winnow.schema import FeatureSchema
from winnow.users.attributes import number, texts

NOW = 1_700_000_000_000
LATER = NOW + 10 * 86_400_000


def row(at_ms: int, action: str, **fields: Any) -> dict[str, Any]:
    return dict.fromkeys(USER_CHANGE_SCHEMA.names) | {"stream_id": f"{at_ms}-0", "action": action} | fields


def changed(at_ms: int, user_id: str, **attributes: Any) -> dict[str, Any]:
    return row(at_ms, "set", user_id=user_id, attributes=json.dumps(attributes))


def erased(at_ms: int, user_id: str) -> dict[str, Any]:
    return row(at_ms, "erase", digest=digest(user_id), key=key_id())


def source(folder: Path, *changes: dict[str, Any], users: str = "") -> Path:
    """A shop of five users; its own log keeps the events of everyone."""
    folder.mkdir(parents=True)
    spec = "name: shop\nevents: {view: 1}\nusers: {categorical: [country, interests], numeric: [age]}\n"
    (folder / "dataset.yaml").write_text(spec)
    (folder / "items.csv").write_text("\n".join(["item_id", *(f"i{item}" for item in range(8))]))
    table = pa.table(
        {
            "user_id": ["ana", "bo", "cy", "dee"],
            "country": ["pt", "fi", None, "is"],
            "interests": [["books", "games"], ["music"], None, []],
            "age": [30.0, 40.0, 50.0, None],
        }
    )
    pq.write_table(table, folder / "users.parquet")
    events = [
        f"{user},i{step},view,{NOW + step * 1000}" for user in ("ana", "bo", "cy", "dee", "eve") for step in range(4)
    ]
    events.append(f"dee,i7,view,{LATER + 120_000}")
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,event,timestamp", *events]))
    shown = [
        {
            "request_id": f"r-{user}",
            "user_id": user,
            "timestamp": NOW,
            "items": [{"item_id": "i1", "position": 0, "propensity": 1.0}],
        }
        for user in ("ana", "bo", "dee")
    ]
    (folder / "impressions").mkdir()
    pq.write_table(pa.Table.from_pylist(shown), folder / "impressions" / "1-0.parquet")
    if changes:
        (folder / "user_changes").mkdir()
        pq.write_table(pa.Table.from_pylist(list(changes), USER_CHANGE_SCHEMA), folder / "user_changes" / "1-0.parquet")
    return folder


def users_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    return {one.pop("user_id"): one for one in dataset.users.to_pylist()}


def ingested(tmp_path: Path, *changes: dict[str, Any]) -> Dataset:
    return ingest(str(source(tmp_path / "shop", *changes)), tmp_path / "out")


def test_attributes_are_those_of_the_last_change(tmp_path: Path) -> None:
    dataset = ingested(
        tmp_path,
        changed(LATER + 2, "ana", country="dk"),
        changed(LATER + 1, "ana", country="fi", age=31),
        changed(LATER + 3, "bo", age=None, interests=["games", "books"]),
        changed(LATER + 4, "new", country="pt", undeclared=1),
    )
    users = users_of(dataset)
    assert users["ana"] == {"country": "dk", "interests": ["books", "games"], "age": 31.0}
    assert users["bo"] == {"country": "fi", "interests": ["games", "books"], "age": None}
    assert users["new"] == {"country": "pt", "interests": None, "age": None}
    assert dataset.users["user_id"].to_pylist() == ["ana", "bo", "cy", "dee", "eve", "new"]
    assert last_user_change(tmp_path / "out") == f"{LATER + 4}-0"


def test_an_erased_user_is_nowhere(tmp_path: Path) -> None:
    dataset = ingested(tmp_path, changed(LATER - 5, "ana", country="dk"), erased(LATER, "ana"), erased(LATER, "eve"))
    for table in (dataset.users, dataset.events, dataset.impressions):
        assert not {"ana", "eve"} & {*table["user_id"].to_pylist()}
    assert {*dataset.impressions["user_id"].to_pylist()} == {"bo", "dee"}
    for path in (tmp_path / "out").rglob("*"):
        assert b"ana" not in path.read_bytes().replace(b"canal", b"")


def test_events_after_an_erasure_are_a_newcomers(tmp_path: Path) -> None:
    dataset = ingested(tmp_path, erased(LATER, "dee"), changed(LATER + 5, "dee", age=20))
    events = [one for one in dataset.events.to_pylist() if one["user_id"] == "dee"]
    assert [one["item_id"] for one in events] == ["i7"]
    assert users_of(dataset)["dee"] == {"country": None, "interests": None, "age": 20.0}


def test_a_merged_users_events_are_the_others(tmp_path: Path) -> None:
    dataset = ingested(
        tmp_path,
        changed(LATER, "cy", age=51),
        row(LATER + 1, "merge", user_id="ana", into="cy"),
        row(LATER + 2, "merge", user_id="eve", into="unseen"),
    )
    users = users_of(dataset)
    assert users["cy"] == {"country": "pt", "interests": ["books", "games"], "age": 51.0}
    assert "ana" not in users
    assert "eve" not in users
    counts = {one["values"]: one["counts"] for one in dataset.events["user_id"].value_counts().to_pylist()}
    assert counts == {"bo": 4, "cy": 8, "dee": 5, "unseen": 4}
    assert {*dataset.impressions["user_id"].to_pylist()} == {"cy", "bo", "dee"}


def test_another_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = erased(LATER, "ana")
    monkeypatch.setenv(VARIABLE, "a secret of the shop")
    with pytest.raises(DataError, match="1 erasures were made with another secret: set WINNOW_ERASURE_KEY"):
        ingested(tmp_path, wrong)


def test_a_file_without_a_column_is_named(tmp_path: Path) -> None:
    folder = source(tmp_path / "shop", changed(LATER, "ana"))
    pq.write_table(pa.table({"action": ["set"]}), folder / "user_changes" / "1-0.parquet")
    with pytest.raises(DataError, match="user_id: the column is missing"):
        ingest(str(folder), tmp_path / "out")


def test_a_changed_row_is_what_extraction_writes(tmp_path: Path) -> None:
    """The encoder of the endpoint on single rows, and feature extraction on the changed users table."""
    changes = {
        "ana": {"country": "fi", "interests": ["music", "unseen", "books"], "age": 33.5},
        "bo": {"country": None, "interests": None, "age": None},
        "cy": {"country": "unseen", "interests": "games", "age": -1e9},
        "dee": {"interests": ["books", "games", "music", "books"]},
        "new": {"country": "pt", "age": 7},
    }
    before = ingest(str(source(tmp_path / "before")), tmp_path / "old")
    features = extract(before, {})
    known = FeatureEncoding(features.schema, features.vocabularies, features.as_of)
    rows = [changed(LATER + place, user_id, **values) for place, (user_id, values) in enumerate(changes.items())]
    after = extract(ingest(str(source(tmp_path / "after", *rows)), tmp_path / "new"), {}, encoding=known)

    encoder = UserRowEncoder(_Release(features.schema, features.vocabularies))  # type: ignore[arg-type]
    old = dict(zip(features.user_ids.tolist(), features.user_rows, strict=True))
    for user_id, expected in zip(after.user_ids.tolist(), after.user_rows, strict=True):
        values = changes.get(user_id, {})
        choices = {name: texts(values[name]) for name in encoder.categorical if name in values}
        numbers = {name: number(values[name]) for name in encoder.numeric if name in values}
        found = encoder.replaced(old.get(user_id), choices, numbers)
        for name in ("available", "categorical", "numeric"):
            assert found[name].tobytes() == expected[name].tobytes(), (user_id, name)


class _Release:
    """What the encoder reads of a release."""

    def __init__(self, schema: FeatureSchema, vocabularies: dict[str, list[str]]) -> None:
        self.schema, self.vocabularies = schema, vocabularies
