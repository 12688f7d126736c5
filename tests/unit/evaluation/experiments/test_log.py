"""The log of an experiment from exported files, and `winnow experiment report`, for a catalog of five items."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.support.tiny_release import write_bare_release
from winnow.cli.app import commands
from winnow.errors import WinnowError
from winnow.evaluation.experiments.log import read
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import DAY_MS, Feature, FeatureSchema
from winnow.settings.experiments import Experiment, Experiments
from winnow.settings.file import parse

START = 1_700_000_000_000
HOUR = 3_600_000
SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=1),),
    user=(),
    events=("view", "buy"),
    event_values=(1.0, 4.0),
    event_windows_ms=(HOUR, DAY_MS),
    event_full_amounts=(0.0, 0.0),
    conversions=("buy",),
)
FILE = "experiments: [{name: e, arms: [{name: old, share: 0.5}, {name: new, share: 0.5}]}]"


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return write_bare_release(tmp_path / "releases", SCHEMA, id_arrays(["", *"abcde"]), "none")


@pytest.fixture
def experiment() -> Experiment:
    return parse(Experiments, FILE, "experiments.yaml").experiments[0]


def shown(request: str, user: str | None, at: int, *items: str, **arms: str) -> dict[str, Any]:
    slots = [
        {"item_id": item, "position": position, "score": 0.0, "propensity": 1.0, "sources": []}
        for position, item in enumerate(items)
    ]
    named = [{"experiment": experiment, "arm": arm} for experiment, arm in arms.items()]
    moment = {"request_id": request, "user_id": user, "timestamp": START + at}
    return moment | {"release": 1, "items": slots, "arms": named}


def event(user: str, item: str, kind: str, at: int) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event": kind, "timestamp": START + at}


def export(folder: Path, impressions: list[dict[str, Any]], events: list[dict[str, Any]], first: int = 0) -> str:
    for table, rows in ((IMPRESSION_TABLE, impressions), (EVENT_TABLE, events)):
        numbered = [{"stream_id": f"{START + first}-{n}"} | row for n, row in enumerate(rows)]
        export_files.write(str(folder), table, numbered)
    return str(folder)


IMPRESSIONS = [
    shown("before", "u", 0, "d"),
    shown("1", "u", HOUR, "a", "b", e="old", other="x"),
    shown("2", "u", 2 * HOUR, "a", "new", e="old"),
    shown("3", "v", HOUR, "c", e="new"),
    shown("4", "w", HOUR, e="new"),
    shown("5", "moved", HOUR, "a", e="old"),
    shown("6", "moved", 2 * HOUR, "a", e="new"),
    shown("7", None, HOUR, "a"),
    shown("8", "apart", HOUR, "a", other="x"),
]
EVENTS = [
    event("u", "d", "buy", 2 * HOUR),
    event("u", "a", "view", HOUR + 1),
    event("u", "a", "view", 2 * HOUR + 1),
    event("u", "a", "buy", 3 * HOUR),
    event("u", "new", "view", 2 * HOUR + 1),
    event("v", "c", "view", 3 * HOUR),
    event("moved", "a", "buy", 3 * HOUR),
    event("apart", "a", "buy", 3 * HOUR),
]


def test_each_event_counts_once_for_the_arm_that_was_logged(
    release: Release, experiment: Experiment, tmp_path: Path
) -> None:
    folder = export(tmp_path / "log", IMPRESSIONS, EVENTS)
    (old, new), notes = read(folder, release, experiment, "any")
    # "a" was shown twice, viewed twice and bought once; "new" is newer than the release. What was shown before the
    # experiment earns nothing, and a view three hours later is none.
    assert (old.requests, old.rewards.tolist()) == (2, [1.0 + 4.0 + 1.0])
    # A user who was shown an empty list is a user of the arm.
    assert (new.requests, new.rewards.tolist()) == (2, [0.0, 0.0])
    assert notes == ["1 users who were in several arms, because the shares or names of the arms changed"]
    (old, _), _ = read(folder, release, experiment, "buy")
    assert old.rewards.tolist() == [4.0]


def test_a_second_export_changes_nothing(release: Release, experiment: Experiment, tmp_path: Path) -> None:
    once, _ = read(export(tmp_path / "once", IMPRESSIONS, EVENTS), release, experiment, "any")
    twice, _ = read(export(tmp_path / "twice", IMPRESSIONS * 2, EVENTS * 2), release, experiment, "any")
    assert [(log.requests, log.rewards.tolist()) for log in once] == [
        (log.requests, log.rewards.tolist()) for log in twice
    ]


def test_files_of_earlier_versions_have_no_arms(release: Release, experiment: Experiment, tmp_path: Path) -> None:
    folder = export(tmp_path / "log", IMPRESSIONS[1:5], EVENTS)
    expected, _ = read(folder, release, experiment, "any")
    export(tmp_path / "earlier", IMPRESSIONS[:1], EVENTS[:1], first=-1)
    [file] = (tmp_path / "earlier" / "impressions").iterdir()
    pq.write_table(pq.read_table(file).drop_columns("arms"), tmp_path / "log" / "impressions" / file.name)
    found, _ = read(folder, release, experiment, "any")
    assert [log.rewards.tolist() for log in found] == [log.rewards.tolist() for log in expected]


@pytest.mark.parametrize(
    ("impressions", "message"),
    [
        (IMPRESSIONS[:1], "no impression has an arm of experiment e: serve with `winnow up --experiments FILE`"),
        ([shown("1", "u", 0, "a", e="gone")], "impressions have arm 'gone' of e, which is declared with old, new"),
    ],
)
def test_a_log_of_something_else_is_refused(
    impressions: list[dict[str, Any]], message: str, release: Release, experiment: Experiment, tmp_path: Path
) -> None:
    with pytest.raises(WinnowError, match=message):
        read(export(tmp_path / "log", impressions, EVENTS), release, experiment, "any")


def test_a_log_without_an_event_of_its_users_is_refused(
    release: Release, experiment: Experiment, tmp_path: Path
) -> None:
    others = [event("stranger", "a", "view", HOUR), event("u", "gone", "view", HOUR), event("u", "a", "like", HOUR)]
    with pytest.raises(WinnowError, match="no exported event is of a user, an item and an event type of these"):
        read(export(tmp_path / "log", IMPRESSIONS, others), release, experiment, "any")
    # One is enough, beside however many others.
    (old, _), _ = read(export(tmp_path / "more", IMPRESSIONS, EVENTS[1:2] + others * 1000), release, experiment, "any")
    assert old.rewards.tolist() == [1.0]


def served(folder: Path, users: int, lost: int = 0) -> str:
    """Users by their arms, one request and event each: of the arm "new" 60 % buy, and the last ``lost`` are missing."""
    experiment = parse(Experiments, FILE, "experiments.yaml").experiments[0]
    arms = {f"u{n}": experiment.arm_of(f"u{n}").name for n in range(users)}
    new = [user for user, arm in arms.items() if arm == "new"]
    for user in new[len(new) - lost :]:
        del arms[user]
    impressions = [shown(user, user, 0, "a", "b", e=arm) for user, arm in arms.items()]
    events = [
        event(user, "a", "buy" if arm == "new" and n % 5 < 3 else "view", 1)
        for n, (user, arm) in enumerate(arms.items())
    ]
    return export(folder, impressions, events)


def test_the_command_reports_lift_and_sample_ratio(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "140")
    (tmp_path / "experiments.yaml").write_text(FILE)
    served(tmp_path / "events", 600)
    run = CliRunner().invoke(commands, ["experiment", "report", "e", "--json"])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)
    assert sum(arm["users"] for arm in found["arms"]) == 600
    assert found["sample_ratio"] > 0.01
    [compared] = found["comparisons"]
    assert compared["arm"] == "new"
    # 1 against 0.6 * 4 + 0.4.
    assert compared["lift"]["low"] < 1.8 < compared["lift"]["high"]
    assert compared["verdict"] == "higher"
    shown_table = CliRunner().invoke(commands, ["experiment", "report", "e"])
    assert "higher" in shown_table.stdout
    assert "sample ratio: p = " in shown_table.stdout


def test_the_command_refuses_users_that_do_not_fit_the_shares(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("COLUMNS", "2000")
    (tmp_path / "other").mkdir()
    (tmp_path / "releases").rename(tmp_path / "other" / "releases")
    (tmp_path / "declared.yaml").write_text(FILE)
    log = served(tmp_path / "log", 600, lost=80)
    arguments = ["experiment", "report", "e", f"--log={log}", f"--experiments={tmp_path / 'declared.yaml'}"]
    run = CliRunner().invoke(commands, arguments)
    assert run.exit_code == 3
    assert "no comparison" in run.stdout
    assert "the numbers of users do not fit the shares of the arms: old" in run.stdout
    assert "higher" not in run.stdout
    wrong = CliRunner().invoke(commands, ["experiment", "report", "f", *arguments[3:]])
    assert "declares no experiment 'f', but e; name the file" in str(wrong.exception)
