"""Checks of an evaluation: value thresholds, change thresholds beside the live release, and baselines to beat.

A change threshold is a test of non-inferiority: the whole 95 % interval of the paired difference must lie above minus
the margin (Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority, 2010). Where half of the interval
is wider than half of the margin, an equal release would often fail. The users are then too few to decide, unless the
whole interval is below zero. So each check refuses an equal release in about 2.5 % of the cases.
"""

from collections.abc import Iterator

from winnow.evaluation.record import FUNNEL, LIVE, Estimate, EvaluationRecord, Group
from winnow.lifecycle.gate.rules import ChangeThreshold, MetricRules, ValueThreshold
from winnow.lifecycle.verdict import Check


def checks(record: EvaluationRecord, live: int | None, rules: MetricRules) -> Iterator[Check]:
    """The checks of an evaluation.

    Args:
        record: the evaluation.
        live: number of the live release.
        rules: what must hold.
    """
    for metric, threshold in rules.values.items():
        yield _within(record.overall, metric, threshold)
    for baseline, metric in rules.beaten.items():
        yield _beaten(record.overall, baseline, metric, rules)
    if live is not None:
        for metric, change in rules.changes.items():
            yield _no_worse(record, live, metric, change, rules)


def unevaluated(reason: str, rules: MetricRules) -> Check:
    """The check in place of all others where no user can be evaluated.

    Args:
        reason: why, as a sentence's part.
        rules: their ``too_few_users`` decides.
    """
    return _undecided("metrics", f"nothing was evaluated, because {reason}", rules)


def _within(group: Group, metric: str, threshold: ValueThreshold) -> Check:
    name = f"metrics: {metric}"
    found = group.metrics.get(FUNNEL, {}).get(metric)
    if found is None:
        return _unknown(name, metric, group)
    ends = f"95 %: {found.low:.4f} to {found.high:.4f}"
    shown = f"{metric} is {found.value:.4f} ({ends}, {group.users:,} users)"
    if threshold.lower is not None and not found.low >= threshold.lower:
        message = f"{shown}; its lower end must be at least {threshold.lower:g}"
        return Check(name=name, passed=False, value=found.value, bound=threshold.lower, message=message)
    if threshold.upper is not None and not found.high <= threshold.upper:
        message = f"{shown}; its upper end must be at most {threshold.upper:g}"
        return Check(name=name, passed=False, value=found.value, bound=threshold.upper, message=message)
    bound = threshold.upper if threshold.lower is None else threshold.lower
    return Check(name=name, passed=True, value=found.value, bound=bound, message=shown)


def _beaten(group: Group, baseline: str, metric: str, rules: MetricRules) -> Check:
    name = f"metrics: {metric} beside {baseline}"
    theirs = group.metrics.get(baseline, {}).get(metric)
    difference = group.differences.get(baseline, {}).get(metric)
    if theirs is None or difference is None:
        return _unknown(name, metric, group, baseline)
    shown = _shown(metric, f"{baseline}'s {theirs.value:.4f}", difference, group)
    if difference.low > 0:
        return Check(name=name, passed=True, value=difference.value, bound=0.0, message=shown)
    if difference.high > 0 and _half(difference) > theirs.value / 2:
        return _undecided(name, f"{shown}: too few users to tell", rules, difference.value, 0.0)
    return Check(
        name=name,
        passed=False,
        value=difference.value,
        bound=0.0,
        message=f"{shown}; the whole interval must be above 0",
    )


def _no_worse(record: EvaluationRecord, live: int, metric: str, change: ChangeThreshold, rules: MetricRules) -> Check:
    name = f"metrics: {metric} beside {LIVE}"
    group = record.beside_live
    if record.live not in (None, live):
        message = f"the evaluation compares with release {record.live}, but release {live} is live: evaluate again"
        return Check(name=name, passed=False, message=message)
    if group is None:
        reason = record.uncompared or "the evaluation has no comparison"
        return _undecided(name, f"not compared with release {live}: {reason}", rules)
    theirs = group.metrics.get(LIVE, {}).get(metric)
    difference = group.differences.get(LIVE, {}).get(metric)
    if theirs is None or difference is None:
        return _unknown(name, metric, group, LIVE)
    gain = difference if change.better == "higher" else _negated(difference)
    margins = [change.absolute, None if change.relative is None else change.relative * abs(theirs.value)]
    margin = min(each for each in margins if each is not None)
    worst = -margin if change.better == "higher" else margin
    shown = _shown(metric, f"release {live}'s {theirs.value:.4f}", difference, group)
    if gain.low >= -margin:
        return Check(name=name, passed=True, value=difference.value, bound=worst, message=shown)
    if gain.high >= 0 and _half(gain) > margin / 2:
        undecided = f"{shown}: too few users to show a change of at most {margin:.4f}"
        return _undecided(name, undecided, rules, difference.value, worst)
    message = f"{shown}; the whole interval must be {'above' if worst < 0 else 'below'} {worst:.4f}"
    return Check(name=name, passed=False, value=difference.value, bound=worst, message=message)


def _undecided(
    name: str, message: str, rules: MetricRules, value: float | None = None, bound: float | None = None
) -> Check:
    passed = rules.too_few_users == "pass"
    ending = f"; too_few_users is `{rules.too_few_users}`"
    return Check(name=name, passed=passed, value=value, bound=bound, message=message + ending)


def _unknown(name: str, metric: str, group: Group, recommender: str = FUNNEL) -> Check:
    measured = group.metrics.get(recommender)
    if measured is None:
        missing = f"the evaluation has no recommender {recommender!r}; it has {', '.join(sorted(group.metrics))}"
    elif metric not in measured:
        missing = f"the evaluation has no metric {metric!r} of {recommender}; it has {', '.join(sorted(measured))}"
    else:
        missing = f"the evaluation has no difference of {metric} beside {recommender}: evaluate again"
    return Check(name=name, passed=False, message=missing)


def _half(estimate: Estimate) -> float:
    return (estimate.high - estimate.low) / 2


def _negated(estimate: Estimate) -> Estimate:
    return Estimate(value=-estimate.value, low=-estimate.high, high=-estimate.low)


def _shown(metric: str, other: str, difference: Estimate, group: Group) -> str:
    ends = f"95 %: {difference.low:+.4f} to {difference.high:+.4f}"
    return f"{metric} is {difference.value:+.4f} beside {other} ({ends}, {group.users:,} users)"
