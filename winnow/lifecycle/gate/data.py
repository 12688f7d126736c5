"""Checks of a release's data beside the live release's, by the profiles that both builds kept.

Ingestion has validated every row already. What is left are faults that valid rows can have together: half a log, a
table of one country, pictures that are gone.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from winnow.datasets.profile import DataProfile, profile_of
from winnow.datasets.quantiles import chance, distance
from winnow.datasets.shares import changes, shares_of
from winnow.lifecycle.gate.rules import DataRules
from winnow.lifecycle.verdict import Check
from winnow.release import Release

_FEWEST_EVENTS = 100
"""Events of a type in the live release's data from which their number is compared: fewer vary too much."""

_SHOWN = 3


def checks(release: Release, live: Release | None, rules: DataRules) -> Iterator[Check]:
    """The checks of the data.

    Args:
        release: the release.
        live: the live release; without it, only the age of the newest event is checked.
        rules: what must hold.
    """
    ours, theirs = profile_of(release), None if live is None else profile_of(live)
    if ours is None:
        message = f"release {release.manifest.number} has no {_KEPT}: build it again to have its data checked"
        yield Check(name="data", passed=False, message=message)
        return
    yield from _age(ours, release, rules)
    if live is None:
        return
    if theirs is None:
        message = f"not compared: release {live.manifest.number} has no {_KEPT}"
        yield Check(name="data", passed=True, message=message)
        return
    yield _newest(ours, theirs, live)
    yield _volume(ours, theirs, rules)
    yield _missing(ours, theirs, rules)
    yield _categories(ours, theirs, rules)
    yield _numbers(ours, theirs, rules)
    yield _modalities(ours, theirs, rules)


def same_data(release: Release, evaluated: Release) -> Check:
    """Whether the evaluated release was built from the same data as the release that is judged in its place."""
    ours, theirs = profile_of(release), profile_of(evaluated)
    number = evaluated.manifest.number
    same = ours is not None and ours == theirs
    message = f"release {number} was evaluated, which was built from the same data without the held-out events"
    if not same:
        message = (
            f"release {number} was evaluated, but it was built from other data than release {release.manifest.number}: "
            "build it again with --holdout last, and evaluate it"
        )
    return Check(name="data: evaluated", passed=same, message=message)


_KEPT = "profile of its data, because an earlier version of Winnow built it"


def _age(profile: DataProfile, release: Release, rules: DataRules) -> Iterator[Check]:
    if rules.newest_event_hours is None:
        return
    hours = (release.manifest.created_at.timestamp() - profile.newest / 1000) / 3600
    message = f"the newest event, of {_moment(profile.newest)}, was {hours:,.1f} hours old when the release was built"
    passed = hours <= rules.newest_event_hours
    ending = "" if passed else f"; at most {rules.newest_event_hours:g} are allowed"
    yield Check(name="data: age", passed=passed, value=hours, bound=rules.newest_event_hours, message=message + ending)


def _newest(ours: DataProfile, theirs: DataProfile, live: Release) -> Check:
    behind = (theirs.newest - ours.newest) / 3_600_000
    message = f"the newest event is of {_moment(ours.newest)}, that of release {live.manifest.number} of "
    message += _moment(theirs.newest) + ("; it must not be older" if behind > 0 else "")
    return Check(name="data: newest event", passed=behind <= 0, value=behind, bound=0.0, message=message)


def _volume(ours: DataProfile, theirs: DataProfile, rules: DataRules) -> Check:
    counts = {name: (ours.rows.get(name, 0), count) for name, count in theirs.rows.items()} | {
        f"events of type {name}": (ours.event_types.get(name, 0), count)
        for name, count in theirs.event_types.items()
        if count >= _FEWEST_EVENTS
    }
    ratios = {name: now / before for name, (now, before) in counts.items() if before}
    wrong = [name for name, ratio in ratios.items() if not rules.smallest_volume <= ratio <= rules.largest_volume]
    # The farthest from 1 on a scale of ratios, on which a half is as far as the double.
    far = max(wrong or ratios, key=lambda name: max(ratios[name], 1 / max(ratios[name], 1e-9)), default=None)
    if far is None:
        return Check(name="data: volume", passed=True, message="the live release's data is empty")
    bound = rules.largest_volume if ratios[far] > 1 else rules.smallest_volume
    shown = [f"{name}: {counts[name][0]:,} beside {counts[name][1]:,}" for name in (wrong or [far])]
    message = _listed(shown)
    if wrong:
        message += f"; {rules.smallest_volume:g} to {rules.largest_volume:g} times the live release's are allowed"
    return Check(name="data: volume", passed=not wrong, value=ratios[far], bound=bound, message=message)


def _missing(ours: DataProfile, theirs: DataProfile, rules: DataRules) -> Check:
    both = ours.columns.keys() & theirs.columns.keys()
    rises = {name: ours.columns[name].missing - theirs.columns[name].missing for name in both}
    shown = {
        name: f"{name} is missing in {ours.columns[name].missing:.1%} of the rows, "
        f"was {theirs.columns[name].missing:.1%}"
        for name in both
    }
    return _largest("data: missing values", rises, shown, rules.missing_rise, "no column loses values")


def _categories(ours: DataProfile, theirs: DataProfile, rules: DataRules) -> Check:
    """The largest change of a share, the L-infinity distance of TensorFlow Data Validation."""
    shares = {
        name: (ours.columns[name].shares, theirs.columns[name].shares)
        for name in ours.columns.keys() & theirs.columns.keys()
    }
    shares["events.event"] = (shares_of(ours.event_types), shares_of(theirs.event_types))
    amounts, shown = {}, {}
    for name, (now, before) in shares.items():
        # A column whose values have all gone is missing, which is another check; its shares say nothing.
        for change in changes(before, now) if now and before else ():
            key = f"{name}={change.value}"
            amounts[key] = change.amount
            shown[key] = f"{name} is {change.value!r} in {change.now:.1%} of the rows, was {change.before:.1%}"
    return _largest("data: categories", amounts, shown, rules.share_change, "no share changes")


def _numbers(ours: DataProfile, theirs: DataProfile, rules: DataRules) -> Check:
    """The largest distance of two distributions (Kolmogorov and Smirnov), where chance does not explain it."""
    amounts, shown = {}, {}
    for name in ours.columns.keys() & theirs.columns.keys():
        now, before = ours.columns[name], theirs.columns[name]
        if not now.quantiles or not before.quantiles:
            continue  # not numeric, or without values, which is another check
        found = distance(before.quantiles, now.quantiles)
        amounts[name] = found if found > chance(_values(theirs, name), _values(ours, name)) else 0.0
        medians = (each.quantiles[len(each.quantiles) // 2] for each in (now, before))
        shown[name] = "{} has other values in {:.1%} of the rows: its median is {:.6g}, was {:.6g}".format(
            name, found, *medians
        )
    return _largest("data: numbers", amounts, shown, rules.number_change, "no distribution changes")


def _values(profile: DataProfile, column: str) -> int:
    """The number of rows with a value of a column."""
    return max(1, round(profile.rows[column.partition(".")[0]] * (1 - profile.columns[column].missing)))


def _modalities(ours: DataProfile, theirs: DataProfile, rules: DataRules) -> Check:
    falls = {name: share - ours.modalities.get(name, 0.0) for name, share in theirs.modalities.items()}
    shown = {
        name: f"{ours.modalities.get(name, 0.0):.1%} of the items have an embedding of {name}, {share:.1%} had"
        for name, share in theirs.modalities.items()
    }
    return _largest("data: modalities", falls, shown, rules.modality_loss, "no modality loses items")


def _largest(name: str, amounts: dict[str, float], shown: dict[str, str], bound: float, none: str) -> Check:
    """A check that no amount exceeds a bound."""
    ordered = sorted(amounts, key=lambda key: (-amounts[key], key))
    wrong = [key for key in ordered if amounts[key] > bound]
    largest = amounts[ordered[0]] if ordered else 0.0
    if not wrong:
        message = shown[ordered[0]] if largest > 0 else none
        return Check(name=name, passed=True, value=largest, bound=bound, message=message)
    message = f"{_listed([shown[key] for key in wrong])}; a change of at most {bound:.0%} of the rows is allowed"
    return Check(name=name, passed=False, value=largest, bound=bound, message=message)


def _listed(parts: list[str]) -> str:
    more = len(parts) - _SHOWN
    return "; ".join(parts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
