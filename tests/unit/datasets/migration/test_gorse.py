"""Imports of Gorse's exports: both of its forms, types of labels, and rows that are left out."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from winnow.datasets.canonical.spec import DatasetSpec
from winnow.datasets.migration.gorse import convert
from winnow.datasets.migration.target import value_of
from winnow.datasets.readers import tables
from winnow.errors import DataError, WinnowError

ITEMS = (
    "item_id,is_hidden,categories,time_stamp,labels,description\r\n"
    '1,false,x,2020-01-01 01:01:01.000000001 +0000 UTC,"{""genre"":[""comedy"",""sci-fi""],""year"":1999}","o,n,e"\r\n'
    '2,false,x|y,2021-01-01 01:01:01 +0000 UTC,"{""genre"":[""documentary""],""vector"":[0.1,0.2]}","t\r\nw\r\no"\r\n'
    '東京,true,,0001-01-01 00:00:00 +0000 UTC,null,"""three"""\r\n'
)
USERS = "user_id,labels\r\nann,a|b\r\nbob,\r\n"
FEEDBACK = (
    "feedback_type,user_id,item_id,time_stamp\r\n"
    "read,ann,1,2022-01-01 00:00:00 +0000 UTC\r\n"
    "star,ann,東京,2022-01-02 00:00:00 +0000 UTC\r\n"
    "read,bob,2,2022-01-03 00:00:00 +0000 UTC\r\n"
)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    folder.mkdir()
    for name, text in (("items", ITEMS), ("users", USERS), ("feedback", FEEDBACK)):
        (folder / f"{name}.csv").write_text(text, newline="")
    return folder


def rows(output: Path, table: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(output / f"{table}.parquet").to_pylist()
    return found


def test_csv_becomes_a_data_set(exported: Path, tmp_path: Path) -> None:
    output = tmp_path / "data"
    report = convert(exported, output)
    assert report.rows == {"items": 3, "users": 2, "events": 3}
    assert report.left_out == {}
    first, second, third = rows(output, "items")
    assert first == {
        "item_id": "1",
        "description": "o,n,e",
        "category": "x",
        "categories": ["x"],
        "created_at": 1577840461000,
        "available": True,
        "label_genre": ["comedy", "sci-fi"],
        "label_year": 1999.0,
    }
    assert (second["description"], second["categories"]) == ("t\r\nw\r\no", ["x", "y"])
    assert (third["item_id"], third["description"], third["available"]) == ("東京", '"three"', False)
    assert third["created_at"] is third["label_genre"] is third["category"] is None
    assert rows(output, "users") == [{"user_id": "ann", "labels": ["a", "b"]}, {"user_id": "bob", "labels": None}]
    assert rows(output, "events")[1] == {
        "user_id": "ann",
        "item_id": "東京",
        "event": "star",
        "timestamp": 1641081600000,
        "amount": None,
    }
    spec = DatasetSpec.read(output / "dataset.yaml")
    assert spec.values == {"read": 1.0, "star": 3.0}
    assert (spec.items.categorical, spec.items.numeric) == (("categories", "label_genre"), ("label_year",))
    assert spec.users.categorical == ("labels",)
    assert any(note.startswith("label_vector: not imported") for note in report.notes)
    # What a build reads.
    assert tables.read_local(output).events is not None


def test_json_lines_give_the_same_data_set(exported: Path, tmp_path: Path) -> None:
    convert(exported, tmp_path / "of csv")
    later = tmp_path / "later"
    later.mkdir()
    items = [
        {"ItemId": "1", "IsHidden": False, "Categories": ["x"], "Timestamp": "2020-01-01T01:01:01.000000001Z"}
        | {"Labels": {"genre": ["comedy", "sci-fi"], "year": 1999}, "Comment": "o,n,e"},
        {"ItemId": "2", "IsHidden": False, "Categories": ["x", "y"], "Timestamp": "2021-01-01T01:01:01Z"}
        | {"Labels": {"genre": ["documentary"], "vector": [0.1, 0.2]}, "Comment": "t\r\nw\r\no"},
        {"ItemId": "東京", "IsHidden": True, "Categories": None, "Timestamp": "0001-01-01T00:00:00Z"}
        | {"Labels": None, "Comment": '"three"'},
    ]
    users = [{"UserId": "ann", "Labels": ["a", "b"], "Comment": ""}, {"UserId": "bob", "Labels": None, "Comment": ""}]
    feedback = [
        {"FeedbackType": kind, "UserId": user, "ItemId": item, "Value": 0, "Timestamp": f"2022-01-0{day}T00:00:00Z"}
        for day, (kind, user, item) in enumerate(
            [("read", "ann", "1"), ("star", "ann", "東京"), ("read", "bob", "2")], start=1
        )
    ]
    for name, given in (("items", items), ("users", users), ("feedback", feedback)):
        (later / f"{name}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in given))
    convert(later, tmp_path / "of json")
    for table in ("items", "users"):
        assert rows(tmp_path / "of json", table) == rows(tmp_path / "of csv", table)
    assert [one | {"amount": None} for one in rows(tmp_path / "of json", "events")] == rows(
        tmp_path / "of csv", "events"
    )


def test_bad_rows_are_counted_and_named(exported: Path, tmp_path: Path) -> None:
    wrong = [
        "read,ann,1",
        "read,ann,1,soon",
        "read,ann,1,",
        "read,,1,2022-01-01 00:00:00 +0000 UTC",
        "read,ann,1,2022-01-01 00:00:00 +0000 UTC,more",
    ]
    with (exported / "feedback.csv").open("a", newline="") as file:
        file.write("".join(f"{line}\r\n" for line in wrong))
    with (exported / "items.csv").open("a", newline="") as file:
        file.write("4,false,x,,{broken,text\r\n")
    report = convert(exported, tmp_path / "data")
    assert report.rows["events"] == 3
    assert report.left_out == {
        "has 3 values, and the heading 4": 1,
        "column time_stamp: must be a date and time": 1,
        "column time_stamp: must be given": 1,
        "column user_id: must be a string of 1 to 256 characters": 1,
        "has 5 values, and the heading 4": 1,
        "column labels: is not JSON": 1,
    }
    assert report.examples["column time_stamp: must be a date and time"] == ["feedback.csv, line 6"]
    assert report.examples["column labels: is not JSON"] == ["items.csv, line 7"]


def test_missing_tables_and_columns_are_named(exported: Path, tmp_path: Path) -> None:
    (exported / "feedback.csv").write_text("type,user,item\nread,a,1\n")
    with pytest.raises(DataError, match=r"feedback.csv has no column feedback_type; its columns are type, user, item"):
        convert(exported, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    (exported / "feedback.csv").unlink()
    with pytest.raises(DataError, match=r"has no feedback table: put feedback.csv or feedback.jsonl there"):
        convert(exported, tmp_path / "data")
    (tmp_path / "data").mkdir()
    (exported / "feedback.csv").write_text(FEEDBACK)
    with pytest.raises(WinnowError, match=r"data exists: name a folder that does not"):
        convert(exported, tmp_path / "data")


@pytest.mark.parametrize(
    ("event", "value"), [("Purchase", 10), ("add_to_cart", 3), ("like", 3), ("dislike", -5), ("view", 1), ("читать", 1)]
)
def test_values_follow_from_the_names_of_events(event: str, value: float) -> None:
    assert value_of(event) == value


_IMPORT = """
import resource, sys
from pathlib import Path
from winnow.datasets.migration.gorse import convert
report = convert(Path(sys.argv[1]), Path(sys.argv[2]))
print(report.rows["events"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_memory_does_not_grow_with_the_log(exported: Path, tmp_path: Path) -> None:
    peaks = []
    for count in (100_000, 1_000_000):
        with (exported / "feedback.csv").open("w", newline="") as file:
            file.write("feedback_type,user_id,item_id,time_stamp\r\n")
            for number in range(count):
                file.write(f"read,user-{number % 9973},1,2022-01-01 00:00:{number % 60:02} +0000 UTC\r\n")
        command = [sys.executable, "-c", _IMPORT, str(exported), str(tmp_path / f"of {count}")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1200)
        events, peak_mb = map(int, done.stdout.split())
        assert events == count
        peaks.append(peak_mb)
    # 79 bytes a row.
    assert peaks[1] - peaks[0] < 71
