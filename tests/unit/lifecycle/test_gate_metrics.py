"""The gate's checks of an evaluation: what passes, what fails, and where the users are too few to tell."""

import pytest

from winnow.evaluation.record import Estimate, EvaluationRecord, Group
from winnow.lifecycle.gate import metrics
from winnow.lifecycle.gate.rules import ChangeThreshold, MetricRules, ValueThreshold
from winnow.lifecycle.verdict import Check

LIVE_NDCG = 0.2
ONLY_CHANGE = MetricRules(changes={"ndcg@10": ChangeThreshold(relative=0.05)}, beaten={})
STRICT = ONLY_CHANGE.model_copy(update={"too_few_users": "refuse"})


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def group(difference: Estimate, other: str = "live", theirs: float = LIVE_NDCG) -> Group:
    return Group(
        users=800,
        metrics={
            "funnel": {"ndcg@10": estimate(theirs + difference.value, 0.01)},
            other: {"ndcg@10": estimate(theirs, 0.01)},
        },
        differences={other: {"ndcg@10": difference}},
    )


def record(overall: Group | None = None, beside: Group | None = None, **changed: object) -> EvaluationRecord:
    fields = {
        "release": 3,
        "live": 1 if beside else None,
        "uncompared": "" if beside else "no user has an event after the live release's data",
        "objective": "any",
        "types": ["view"],
        "split": "last",
        "items": 100,
        "overall": overall or group(estimate(0.1, 0.01), "popularity", 0.1),
        "beside_live": beside,
        "segments": {},
        "losses": [],
        "calibration": {},
    }
    return EvaluationRecord.model_validate(fields | changed)


def only(record: EvaluationRecord, rules: MetricRules, live: int | None = 1) -> Check:
    [check] = metrics.checks(record, live, rules)
    return check


@pytest.mark.parametrize(
    ("value", "half", "passes", "passes_strictly"),
    [
        (0.0, 0.004, True, True),  # no worse than the margin of 0.01
        (-0.005, 0.004, True, True),
        (-0.007, 0.004, False, False),  # the interval reaches below the margin, and is narrow enough to tell
        (-0.02, 0.004, False, False),
        (0.0, 0.05, True, False),  # the interval is too wide to tell
        (-0.02, 0.05, True, False),
        (-0.06, 0.05, False, False),  # wide, but below zero as a whole
        (0.06, 0.05, True, True),  # wide, and above zero as a whole
    ],
)
def test_a_change_is_judged_by_its_interval(value: float, half: float, passes: bool, passes_strictly: bool) -> None:
    beside = record(beside=group(estimate(value, half)))
    check = only(beside, ONLY_CHANGE)
    assert check.passed is passes, check
    assert only(beside, STRICT).passed is passes_strictly
    assert check.value == pytest.approx(value)
    assert check.bound == pytest.approx(-0.01)
    assert f"ndcg@10 is {value:+.4f} beside release 1's 0.2000" in check.message
    assert ("too few users" in check.message) == (passes != passes_strictly)


def test_of_two_margins_the_smaller_counts_and_a_metric_may_be_better_when_lower() -> None:
    both = MetricRules(changes={"ndcg@10": ChangeThreshold(relative=0.5, absolute=0.01)}, beaten={})
    assert not only(record(beside=group(estimate(-0.02, 0.004))), both).passed
    lower = MetricRules(changes={"ndcg@10": ChangeThreshold(absolute=0.01, better="lower")}, beaten={})
    assert only(record(beside=group(estimate(-0.02, 0.004))), lower).passed
    risen = only(record(beside=group(estimate(0.02, 0.004))), lower)
    assert (risen.passed, risen.bound) == (False, 0.01)
    assert risen.message.endswith("the whole interval must be below 0.0100")


def test_without_comparison_the_rules_decide_and_the_reason_is_named() -> None:
    check = only(record(), ONLY_CHANGE)
    assert check.passed
    assert "no user has an event after the live release's data; too_few_users is `pass`" in check.message
    assert not only(record(), STRICT).passed
    assert list(metrics.checks(record(), None, ONLY_CHANGE)) == [], "without a live release nothing is compared"


def test_a_comparison_with_a_release_that_is_no_longer_live_does_not_count() -> None:
    check = only(record(beside=group(estimate(0.0, 0.004))), ONLY_CHANGE, live=2)
    assert not check.passed
    assert check.message == "the evaluation compares with release 1, but release 2 is live: evaluate again"


@pytest.mark.parametrize(
    ("value", "half", "passes", "passes_strictly"),
    [(0.05, 0.02, True, True), (-0.01, 0.02, False, False), (0.01, 0.02, False, False), (0.01, 0.08, True, False)],
)
def test_popularity_must_be_beaten(value: float, half: float, passes: bool, passes_strictly: bool) -> None:
    rules = MetricRules(changes={})
    measured = record(group(estimate(value, half), "popularity", 0.1))
    check = only(measured, rules)
    assert (check.name, check.passed) == ("metrics: ndcg@10 beside popularity", passes)
    assert only(measured, rules.model_copy(update={"too_few_users": "refuse"})).passed is passes_strictly


@pytest.mark.parametrize(
    ("threshold", "passes"),
    [
        (ValueThreshold(lower=0.185), True),
        (ValueThreshold(lower=0.195), False),  # the value is above it, its interval's lower end is not
        (ValueThreshold(upper=0.215), True),
        (ValueThreshold(upper=0.205), False),
        (ValueThreshold(lower=0.1, upper=0.205), False),
    ],
)
def test_a_value_must_lie_within_its_bounds_with_its_whole_interval(threshold: ValueThreshold, passes: bool) -> None:
    rules = MetricRules(values={"ndcg@10": threshold}, changes={}, beaten={})
    check = only(record(), rules)
    assert check.passed is passes
    assert check.message.startswith("ndcg@10 is 0.2000 (95 %: 0.1900 to 0.2100, 800 users)")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            MetricRules(values={"ndcg": ValueThreshold(lower=0)}, changes={}, beaten={}),
            "has no metric 'ndcg' of funnel",
        ),
        (MetricRules(changes={}, beaten={"ease": "ndcg@10"}), "no recommender 'ease'; it has funnel, popularity"),
        (
            MetricRules(changes={"auc": ChangeThreshold(relative=1)}, beaten={}),
            "no metric 'auc' of live; it has ndcg@10",
        ),
    ],
)
def test_a_metric_that_was_not_measured_fails(rules: MetricRules, said: str) -> None:
    check = only(record(beside=group(estimate(0.0, 0.004))), rules)
    assert not check.passed
    assert said in check.message


def test_where_no_user_has_a_held_out_event_the_rules_decide() -> None:
    reason = "no user has enough events for one to be held out"
    check = metrics.unevaluated(reason, MetricRules())
    assert check.passed
    assert check.message == f"nothing was evaluated, because {reason}; too_few_users is `pass`"
    assert not metrics.unevaluated(reason, STRICT).passed
