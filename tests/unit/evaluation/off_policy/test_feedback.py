"""Exported events and impressions become the log of an off-policy evaluation, for a catalog of five items."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_release import write_bare_release
from winnow.errors import WinnowError
from winnow.evaluation.off_policy.feedback import read
from winnow.evaluation.off_policy.report import evaluate_release
from winnow.feedback import export_files
from winnow.feedback.export_files import EVENT_TABLE, IMPRESSION_TABLE
from winnow.items.arrays import id_arrays
from winnow.release import Release
from winnow.schema import DAY_MS, Feature, FeatureSchema

START = 1_700_000_000_000
"""The data of the release ends here."""
HOUR = 3_600_000
SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", cardinality=1),),
    user=(),
    events=("view", "watch", "dislike"),
    event_values=(1.0, 4.0, -2.0),
    event_windows_ms=(HOUR, DAY_MS, DAY_MS),
    event_full_amounts=(0.0, 30.0, 0.0),
    conversions=("watch",),
)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    written = write_bare_release(tmp_path / "releases", SCHEMA, id_arrays(["", *"abcde"]), "none")
    manifest = written.manifest.model_copy(update={"as_of": START})
    (written.folder / "manifest.json").write_text(manifest.model_dump_json())
    return Release.open(written.folder)


def shown(request: str, user: str | None, at: int, *items: str, propensity: float = 0.5) -> dict[str, Any]:
    slots = [
        {"item_id": item, "position": position, "score": 0.0, "propensity": propensity, "sources": []}
        for position, item in enumerate(items)
    ]
    return {"request_id": request, "user_id": user, "release": 1, "timestamp": START + at, "items": slots}


def event(user: str, item: str, kind: str, at: int, amount: float | None = None) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "event": kind, "timestamp": START + at, "amount": amount}


def export(folder: Path, impressions: list[dict[str, Any]], events: list[dict[str, Any]]) -> str:
    for table, rows in ((IMPRESSION_TABLE, impressions), (EVENT_TABLE, events)):
        if rows:
            export_files.write(str(folder), table, [{"stream_id": f"{START}-{n}"} | row for n, row in enumerate(rows)])
    return str(folder)


IMPRESSIONS = [
    shown("early", "u", -HOUR, "a", "b"),
    shown("first", "u", 0, "a", "b", "c"),
    shown("second", "v", HOUR, "d", "new", "a"),
    shown("of nobody", None, HOUR, "a"),
    shown("quiet", "w", HOUR, "e", "d", propensity=0.25),
]
EVENTS = [
    event("u", "a", "view", 10),
    event("u", "a", "watch", 2 * HOUR, amount=15.0),
    event("u", "b", "view", HOUR + 1),
    event("u", "c", "dislike", 20),
    event("v", "a", "view", HOUR),
    event("v", "new", "view", HOUR),
    event("stranger", "a", "view", HOUR),
]


def test_rewards_are_the_values_of_events_within_their_windows(release: Release, tmp_path: Path) -> None:
    found = read(export(tmp_path / "log", IMPRESSIONS, EVENTS), release, "any")
    log = found.log
    # By time, and of equal times by the request's id. The earlier request, the one of nobody and the new item are gone.
    assert log.request.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert log.item.tolist() == [1, 2, 3, 5, 4, 4, 1]
    assert log.position.tolist() == [0, 1, 2, 0, 1, 0, 2]
    assert log.propensity.tolist() == [0.5, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5]
    # Half of a graded event; a view after its window is none; "any" leaves out what has a negative value.
    assert log.reward.tolist() == [1.0 + 4.0 / 2, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert len(set(log.user.tolist())) == 3
    left_out = " ".join(found.notes)
    assert "1 requests from before the data of the release ends" in left_out
    assert "1 shown items: of a request without a user" in left_out


def test_further_pages_are_left_out(release: Release, tmp_path: Path) -> None:
    once = read(export(tmp_path / "once", IMPRESSIONS, EVENTS), release, "any").log
    page = shown("page two", "u", HOUR, "a", "e") | {"first": 3}
    paged = read(export(tmp_path / "paged", [*IMPRESSIONS, page], EVENTS), release, "any").log
    for one, other in zip(once, paged, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("objective", "rewards"), [("watch", [2.0, 0, 0]), ("dislike", [0, 0, -2.0]), ("view,dislike", [1.0, 0, -2.0])]
)
def test_an_objective_chooses_the_rewarded_events(
    release: Release, tmp_path: Path, objective: str, rewards: list[float]
) -> None:
    log = read(export(tmp_path / "log", IMPRESSIONS, EVENTS), release, objective).log
    assert log.reward[:3].tolist() == rewards


def test_a_second_export_changes_nothing(release: Release, tmp_path: Path) -> None:
    once = read(export(tmp_path / "once", IMPRESSIONS, EVENTS), release, "any").log
    twice = read(export(tmp_path / "twice", IMPRESSIONS * 2, EVENTS * 2), release, "any").log
    for one, other in zip(once, twice, strict=True):
        assert np.array_equal(one, other)


def test_a_log_that_says_nothing_is_refused(release: Release, tmp_path: Path) -> None:
    with pytest.raises(WinnowError, match="1 requests is later than the data of release 1, which has learned from"):
        read(export(tmp_path / "early", IMPRESSIONS[:1], EVENTS), release, "any")
    with pytest.raises(WinnowError, match="has no impressions: run `winnow events export` first"):
        read(export(tmp_path / "unseen", [], EVENTS), release, "any")
    with pytest.raises(WinnowError, match="--objective: 'buy' is not an event type of this data set"):
        read(str(tmp_path / "early"), release, "buy")


def test_a_log_without_exploration_is_refused_before_anything_is_served(release: Release, tmp_path: Path) -> None:
    log = export(tmp_path / "log", [shown("only", "u", 0, "a", propensity=1.0)], EVENTS)
    with pytest.raises(WinnowError, match="every propensity is 1, because the lists were not explored"):
        evaluate_release(release, log, "any", "embedded", show_progress=False)
