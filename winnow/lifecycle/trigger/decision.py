"""Whether it is time to retrain: each rule with what was measured, its bound, and whether it fired."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow.datasets.profile import MOST_VALUES
from winnow.datasets.shares import Shares, difference, shares_of
from winnow.feedback.since import NewEvents
from winnow.lifecycle.trigger.baseline import Baseline
from winnow.lifecycle.trigger.rules import DriftRules, StalenessRules, TriggerRules, VolumeRules

COMPARED = 50_000
"""The newest events whose distribution is compared: enough to see a share to half a percent, and read in a second."""


class Rule(BaseModel):
    """A rule, applied.

    Attributes:
        name: what was measured, such as ``volume: relative``.
        value: the measured value; ``None`` where it could not be measured.
        bound: the value from which the rule fires.
        fired: whether it fired.
        message: one sentence with the numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float | None
    bound: float
    fired: bool
    message: str


def decide(baseline: Baseline, new: NewEvents | None, rules: TriggerRules, now: datetime) -> list[Rule]:
    """Apply the rules; a rule without a bound is left out.

    Args:
        baseline: the live release.
        new: the events since its data ended; ``None`` where there is no source of them.
        rules: the bounds.
        now: the current time.
    """
    return [
        *_staleness(baseline, rules.staleness, now),
        *_volume(baseline, new, rules.volume),
        *_drift(baseline, new, rules.drift),
    ]


def _staleness(baseline: Baseline, rules: StalenessRules, now: datetime) -> Iterator[Rule]:
    built, ended = baseline.manifest.created_at.timestamp(), baseline.ended / 1000
    for name, since, bound, what in (
        ("build", built, rules.build_hours, "was built"),
        ("data", ended, rules.data_hours, "has data that ended"),
    ):
        if bound is not None:
            hours = (now.timestamp() - since) / 3600
            yield _rule(
                f"staleness: {name}", hours, bound, f"release {_number(baseline)} {what} {hours:,.1f} hours ago"
            )


def _volume(baseline: Baseline, new: NewEvents | None, rules: VolumeRules) -> Iterator[Rule]:
    before = baseline.profile.rows["events"] if baseline.profile else 0
    if rules.absolute is not None:
        name = "volume: absolute"
        yield (
            _unmeasured(name, rules.absolute, _NO_EVENTS)
            if new is None
            else _rule(
                name,
                new.total,
                rules.absolute,
                f"events since the data of release {_number(baseline)} ended: {new.total:,}",
            )
        )
    if rules.relative is not None:
        name = "volume: relative"
        if new is None:
            yield _unmeasured(name, rules.relative, _NO_EVENTS)
        elif not before:
            yield _unmeasured(name, rules.relative, _no_profile(baseline))
        else:
            share = new.total / before
            since = f"since the data of release {_number(baseline)} ended"
            message = f"{new.total:,} events {since}, {share:.1%} of its {before:,}"
            yield _rule(name, share, rules.relative, message)


def _drift(baseline: Baseline, new: NewEvents | None, rules: DriftRules) -> Iterator[Rule]:
    bounds = {"event types": rules.share_change, "categories": rules.share_change, "unknown items": rules.unknown_items}
    bounded = {f"drift: {name}": bound for name, bound in bounds.items() if bound is not None}
    if new is None or len(new.newest) < min(rules.fewest_events, COMPARED):
        reason = _NO_EVENTS
        if new is not None:
            reason = f"of {rules.fewest_events:,} new events that are compared at least, there are {len(new.newest):,}"
        yield from (_unmeasured(name, bound, reason) for name, bound in bounded.items())
        return
    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        found = baseline.categories([taken.item_id for taken in new.newest], Path(scratch))
    total, kept = len(new.newest), baseline.profile
    if rules.share_change is not None:
        before = shares_of(kept.event_types) if kept else {}
        now = shares_of(Counter(taken.event for taken in new.newest))
        yield _changed(baseline, "event types", before, now, total, rules.share_change)
        column = kept.columns.get("events.category") if kept else None
        before = {value: share for value, share in column.shares.items() if value} if column else {}
        yield _changed(baseline, "categories", before, found.shares, total - found.unknown, rules.share_change)
    if rules.unknown_items is not None:
        share = found.unknown / total
        message = (
            f"{share:.1%} of {total:,} new events are of items that release {_number(baseline)} was not built with"
        )
        yield _rule("drift: unknown items", share, rules.unknown_items, message)


def _changed(baseline: Baseline, what: str, before: Shares, now: Shares, rows: int, bound: float) -> Rule:
    name = f"drift: {what}"
    if baseline.profile is None:
        return _unmeasured(name, bound, _no_profile(baseline))
    if not before or not rows:
        return _unmeasured(name, bound, f"release {_number(baseline)} knows no {what} of its events")
    if len(before) >= MOST_VALUES:
        # The profile keeps the most frequent values alone.
        now = {value: share for value, share in now.items() if value in before}
    found = difference(before, now, (baseline.profile.rows["events"], rows))
    value, old, new = found.changes[0]
    message = f"{value!r} in {new:.1%} of {rows:,} new events, was {old:.1%}"
    if found.distance <= found.chance:
        message += ", which can be chance"
    amount = found.changes[0].amount
    return Rule(
        name=name, value=amount, bound=bound, fired=amount >= bound and found.distance > found.chance, message=message
    )


_NO_EVENTS = "there is no event stream (REDIS_URL, or a running stack) and no export to read"


def _no_profile(baseline: Baseline) -> str:
    return f"release {_number(baseline)} has no profile of its data, because an earlier version of Winnow built it"


def _number(baseline: Baseline) -> int:
    return baseline.manifest.number


def _rule(name: str, value: float, bound: float, message: str) -> Rule:
    return Rule(name=name, value=value, bound=bound, fired=value >= bound, message=message)


def _unmeasured(name: str, bound: float, reason: str) -> Rule:
    return Rule(name=name, value=None, bound=bound, fired=False, message=f"not measured: {reason}")
