"""Verdicts from counts: sure of what is bad, sure of what is fine, and otherwise not yet."""

import math

import numpy as np
import pytest

from kfp_pipelines.rollout.comparison import compare, difference, overall, wilson
from kfp_pipelines.rollout.prometheus import Counts
from kfp_pipelines.rollout.settings import RolloutSettings

SETTINGS = RolloutSettings()


def counts(
    answered: float = 20_000, degraded: float = 0.005, failed: float = 0.001, slow: float = 0.005, liked: float = 0.3
) -> Counts:
    """Of a chain whose 99th percentile is 50 ms; ``slow`` is the share of responses over 100 ms."""
    within = {0.02: 0.9, 0.05: 0.995 - slow, 0.1: 1 - slow, 0.3: 1.0, math.inf: 1.0}
    return Counts(
        answered=answered,
        degraded=degraded * answered,
        failed=failed * answered,
        within={bound: share * answered for bound, share in within.items()},
        liked=liked * answered,
    )


def verdicts(canary: Counts, stable: Counts | None = None, clicks: bool = True) -> dict[str, str]:
    return {each.name: each.verdict for each in compare(canary, stable or counts(), SETTINGS, clicks)}


def test_an_equal_canary_is_fine():
    assert set(verdicts(counts()).values()) == {"fine"}
    assert overall(compare(counts(), counts(), SETTINGS)) == "fine"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("failures", {"failed": 0.02}),
        ("degraded", {"degraded": 0.03}),
        ("latency", {"slow": 0.015}),
        ("clicks", {"liked": 0.24}),
    ],
)
def test_each_fault_is_found_and_named_alone(name, changes):
    found = verdicts(counts(**changes))
    assert found == {"failures": "fine", "degraded": "fine", "latency": "fine", "clicks": "fine"} | {name: "worse"}
    assert overall(compare(counts(**changes), counts(), SETTINGS)) == "worse"


@pytest.mark.parametrize("answered", [0, 3, 40])
def test_too_few_requests_decide_nothing(answered):
    for canary in (counts(answered), counts(answered, failed=0.02, degraded=0.03, liked=0.24)):
        assert set(verdicts(canary).values()) == {"unknown"}


def test_a_difference_below_the_bound_reverts_nothing_however_many_requests_show_it():
    slightly = counts(10**8, failed=0.005, degraded=0.012, slow=0.008, liked=0.28)
    assert set(verdicts(slightly, counts(10**8)).values()) == {"fine"}


def test_events_are_compared_only_where_there_are_any_and_hours_are_the_same():
    assert verdicts(counts(liked=0), counts(liked=0))["clicks"] == "fine"
    assert verdicts(counts(liked=0))["clicks"] == "worse"
    assert "clicks" not in verdicts(counts(liked=0), clicks=False)


def test_a_slow_stable_chain_hides_no_slower_canary():
    """The 99th percentile of both is beyond the histogram's last bound."""

    def beyond(share):
        return Counts(answered=20_000, within={0.3: (1 - share) * 20_000, math.inf: 20_000})

    assert verdicts(beyond(0.04), beyond(0.02))["latency"] == "worse"
    assert verdicts(beyond(0.02), beyond(0.02))["latency"] == "fine"


@pytest.mark.parametrize(("share", "of"), [(0.0, 50), (0.01, 800), (0.3, 60)])
def test_intervals_cover_the_truth_as_often_as_they_say(share, of):
    random = np.random.default_rng(5)
    one, other = random.binomial(of, share, 4000), random.binomial(4 * of, share, 4000)
    covered = [difference((a, of), (b, 4 * of), 0.975) for a, b in zip(one, other, strict=True)]
    assert np.mean([each.low <= 1e-12 and each.high >= -1e-12 for each in covered]) > 0.94
    alone = [wilson(a, of, 0.975) for a in one]
    assert np.mean([each.low - 1e-12 <= share <= each.high for each in alone]) > 0.93


def test_a_good_canary_is_hardly_ever_reverted():
    """A hundred looks at an equal canary, of users who send their events in clusters of three."""
    random = np.random.default_rng(6)
    stable, worse = counts(9_000), 0
    for _ in range(2_000):
        canary = Counts(
            answered=1_000,
            degraded=random.binomial(1_000, 0.005),
            failed=random.binomial(1_000, 0.001),
            within={
                b: 1_000 - random.binomial(1_000, 1 - n / 9_000) if b < 1 else 1_000 for b, n in stable.within.items()
            },
            liked=3 * random.poisson(100),
        )
        worse += overall(compare(canary, stable, SETTINGS)) == "worse"
    assert worse / 2_000 < 0.001
