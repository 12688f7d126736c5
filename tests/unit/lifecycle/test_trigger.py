"""The rules of the trigger: each at its border, and what each says where it cannot measure."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kubernetes_validate
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cluster_validation.schemas.core import KUBERNETES
from tests.support.paths import ROOT
from tests.support.tiny_release import VOCABULARIES, write_release
from winnow.cli.app import commands
from winnow.datasets.profile import Column, DataProfile
from winnow.feedback.since import NewEvents, Taken
from winnow.lifecycle.trigger.baseline import Baseline
from winnow.lifecycle.trigger.decision import Rule, decide
from winnow.lifecycle.trigger.pause import Start, Starts
from winnow.lifecycle.trigger.rules import TriggerRules
from winnow.release import BuildInputs, Release
from winnow.settings.file import SettingsError, load, parse

SHARES = {"books": 0.5, "games": 0.5}
PROFILE = DataProfile(
    rows={"items": 300, "users": 20, "events": 2000},
    event_types={"view": 1600, "buy": 400},
    newest=1,
    columns={"events.category": Column(missing=0.0, shares=SHARES)},
    modalities={},
)

Decide = Callable[..., dict[str, Rule]]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return write_release(tmp_path_factory.mktemp("releases"), 1)


@pytest.fixture
def decided(live: Release) -> Decide:
    """Rule -> result, for rules as YAML, new events, and hours since the build."""

    def applied(
        text: str, new: NewEvents | None = None, hours: float = 0.0, profile: DataProfile | None = PROFILE
    ) -> dict[str, Rule]:
        baseline = Baseline(str(live.folder), live.manifest, profile)
        now = live.manifest.created_at + timedelta(hours=hours)
        return {rule.name: rule for rule in decide(baseline, new, parse(TriggerRules, text, "trigger.yaml"), now)}

    return applied


@pytest.fixture
def events(live: Release) -> Callable[..., NewEvents]:
    """New events: of items by category, of unknown items, and how many of them are purchases."""
    category = np.asarray(live.array("item_rows")["categorical"][:, 0])

    def made(books: int, games: int, unknown: int = 0, bought: int | None = None) -> NewEvents:
        items = [
            live.strings("item_ids").encoded(int(np.flatnonzero(category == VOCABULARIES["category"].index(name))[0]))
            for name, number in (("books", books), ("games", games))
            for _ in range(number)
        ] + [b"unknown"] * unknown
        some = len(items) // 5 if bought is None else bought
        return NewEvents(len(items), [Taken(item, "buy" if n < some else "view") for n, item in enumerate(items)])

    return made


def test_the_example_has_every_field_with_its_default() -> None:
    path = ROOT / "examples" / "trigger.yaml"
    assert load(TriggerRules, path) == TriggerRules()
    assert yaml.safe_load(path.read_text()) == TriggerRules().model_dump()


def test_the_cronjob_of_the_guide_is_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "retraining.md").read_text(), re.DOTALL)
    [job] = [each for each in map(yaml.safe_load, blocks) if each.get("kind") == "CronJob"]
    kubernetes_validate.validate(job, str(KUBERNETES), strict=True)
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    asked = CliRunner().invoke(commands, [*container["command"][1:], *container["args"], "--dry-run", "--help"])
    assert asked.exit_code == 0, asked.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volumes: {}", "volumes: unknown; the file takes staleness, volume, drift, pause_hours"),
        ("staleness: {hours: 3}", "staleness.hours: unknown; staleness takes build_hours, data_hours"),
        ("drift: {share_change: 2}", "drift.share_change: must be less than or equal to 1, got 2"),
        ("volume: {absolute: 1.5}", "volume.absolute: must be an integer, got 1.5"),
        ("pause_hours: -1", "pause_hours: must be greater than 0, got -1"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(TriggerRules, text, "trigger.yaml")
    assert str(error.value) == f"trigger.yaml: {message}"


def test_staleness_fires_from_its_bound(decided: Decide) -> None:
    # The data of the tiny release end after its build, so they ended when it was built.
    text = "staleness: {build_hours: 5, data_hours: 6}"
    for hours, build, data in ((4.99, False, False), (5, True, False), (6, True, True)):
        found = decided(text, hours=hours)
        assert (found["staleness: build"].fired, found["staleness: data"].fired) == (build, data)
    assert found["staleness: build"].message == "release 1 was built 6.0 hours ago"
    assert found["staleness: data"].message == "release 1 has data that ended 6.0 hours ago"


def test_volume_fires_from_its_bound(decided: Decide) -> None:
    text = "volume: {absolute: 200, relative: 0.1}"
    for total, fired in ((199, False), (200, True)):
        found = decided(text, NewEvents(total, []))
        assert {found["volume: absolute"].fired, found["volume: relative"].fired} == {fired}
    assert found["volume: relative"].message == "200 events since the data of release 1 ended, 10.0% of its 2,000"


def test_drift_fires_from_its_bound(decided: Decide, events: Callable[..., NewEvents]) -> None:
    for books, games, fired in ((599, 401, False), (600, 400, True)):
        found = decided("", events(books, games))
        assert [name for name, rule in found.items() if rule.fired and "drift" in name] == ["drift: categories"] * fired
    assert found["drift: categories"].message == "'books' in 60.0% of 1,000 new events, was 50.0%"
    for bought, fired in ((299, False), (300, True)):
        found = decided("", events(500, 500, bought=bought))
        assert [name for name, rule in found.items() if rule.fired and "drift" in name] == [
            "drift: event types"
        ] * fired
    for unknown, fired in ((49, False), (50, True)):
        found = decided("", events(475, 525 - unknown, unknown))
        assert found["drift: unknown items"].fired is fired
    message = "5.0% of 1,000 new events are of items that release 1 was not built with"
    assert found["drift: unknown items"].message == message


def test_too_few_events_say_nothing_of_drift(decided: Decide, events: Callable[..., NewEvents]) -> None:
    found = decided("", events(999, 0))
    drift = [rule for name, rule in found.items() if "drift" in name]
    assert [(rule.value, rule.fired) for rule in drift] == [(None, False)] * 3
    assert drift[0].message == "not measured: of 1,000 new events that are compared at least, there are 999"
    chance = decided("drift: {fewest_events: 10}", events(7, 3, bought=2))["drift: categories"]
    assert (chance.value, chance.fired) == (0.2, False)
    assert chance.message == "'books' in 70.0% of 10 new events, was 50.0%, which can be chance"


def test_what_cannot_be_measured_does_not_fire(decided: Decide, events: Callable[..., NewEvents]) -> None:
    nothing = decided("volume: {absolute: 1}")
    assert {name for name, rule in nothing.items() if rule.value is None} == {
        *("volume: absolute", "volume: relative"),
        *("drift: event types", "drift: categories", "drift: unknown items"),
    }
    assert "there is no event stream" in nothing["volume: relative"].message
    old = decided("", events(1000, 0), profile=None)
    assert {name for name, rule in old.items() if rule.value is None} == {
        *("volume: relative", "drift: event types", "drift: categories")
    }
    assert "release 1 has no profile of its data" in old["volume: relative"].message
    bare = decided("", events(1000, 0), profile=PROFILE.model_copy(update={"columns": {}}))
    assert bare["drift: categories"].message == "not measured: release 1 knows no categories of its events"
    all_new = decided("", events(0, 0, 1000))
    assert all_new["drift: categories"].value is None
    assert all_new["drift: unknown items"].value == 1.0
    assert not any(rule.fired for rule in [*nothing.values(), bare["drift: categories"], all_new["drift: categories"]])


def test_a_rule_without_a_bound_is_left_out(decided: Decide, events: Callable[..., NewEvents]) -> None:
    text = (
        "{staleness: {build_hours: null}, volume: {relative: null}, drift: {share_change: null, unknown_items: null}}"
    )
    assert decided(text, events(1000, 0)) == {}


def test_a_run_repeats_the_build_of_the_live_release(live: Release) -> None:
    source = BuildInputs(data="shop", from_release=4, training='{"retriever":{"dimension":16}}')
    baseline = Baseline(str(live.folder), live.manifest.model_copy(update={"source": source, "number": 5}), None)
    assert baseline.inputs(incremental=True) == source.model_copy(update={"from_release": 5})
    assert baseline.inputs(incremental=False) == source.model_copy(update={"from_release": 0})


def test_the_last_start_is_kept_and_of_two_at_once_one_is_recorded(tmp_path: Path) -> None:
    start = Start(at=datetime(2026, 11, 27, tzinfo=UTC), fired=("volume: relative",))
    first, second = Starts(str(tmp_path)), Starts(str(tmp_path))
    assert first.hours_since(start.at) is None
    assert first.record(start)
    assert not second.record(start)
    assert Starts(str(tmp_path)).hours_since(start.at + timedelta(hours=3)) == 3
    first.forget()
    again = Starts(str(tmp_path))
    assert again.last is None
    assert again.record(start)
    later = Starts(str(tmp_path))
    assert later.record(start.model_copy(update={"fired": ("x",)}))
    later.forget()
    assert Starts(str(tmp_path)).last == start
