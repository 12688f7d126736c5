"""Intervals and alarms are held by simulation, with rewards as shops have them: mostly 0, some large."""

import numpy as np
import pytest
from numpy.typing import NDArray

from winnow.evaluation.experiments.log import ArmLog
from winnow.evaluation.experiments.report import report
from winnow.evaluation.experiments.statistics import FEWEST_REWARDS, compare, effective_rewards, per_user, sample_ratio

RUNS = 2000


def rewards(seed: int, users: int, rate: float) -> NDArray[np.float64]:
    """RUNS samples of users: a Poisson number of purchases, of lognormal values; float64 [RUNS, users]."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rate, (RUNS, users)) * rng.lognormal(0.0, 0.5, (RUNS, users))


@pytest.mark.parametrize(
    ("users", "rate", "effect"),
    [((500, 500), 0.5, 0.2), ((800, 200), 0.5, -0.3), ((120, 120), 0.5, 0.5), ((1000, 1000), 0.06, 1.0)],
)
def test_the_interval_covers_a_known_lift(users: tuple[int, int], rate: float, effect: float) -> None:
    first, other = rewards(1, users[0], rate), rewards(2, users[1], rate * (1 + effect))
    found = [compare("b", *pair) for pair in zip(first, other, strict=True)]
    lifts = [one.lift for one in found if one.lift is not None]
    assert len(lifts) == RUNS
    covered = np.mean([lift.low <= effect <= lift.high for lift in lifts])
    assert 0.93 <= covered <= 0.975
    # The verdict is that of both intervals.
    for one, lift in zip(found, lifts, strict=True):
        assert (one.verdict != "undecided") == (lift.low > 0 or lift.high < 0) == (one.p_value < 0.05)


@pytest.mark.parametrize("users", [(400, 400), (900, 100)])
def test_without_a_difference_one_test_of_twenty_finds_one(users: tuple[int, int]) -> None:
    first, other = rewards(3, users[0], 0.4), rewards(4, users[1], 0.4)
    alarms = [compare("b", *pair).verdict != "undecided" for pair in zip(first, other, strict=True)]
    assert 0.035 <= np.mean(alarms) <= 0.065


def test_several_arms_together_have_no_more_false_alarms() -> None:
    arms = [rewards(seed, 300, 0.4) for seed in range(10, 14)]
    alarms = [
        any(compare("b", first, other, comparisons=3).verdict != "undecided" for other in others)
        for first, *others in zip(*arms, strict=True)
    ]
    assert 0.03 <= np.mean(alarms) <= 0.06


def test_a_large_effect_is_found_with_its_direction() -> None:
    first, more = rewards(5, 1000, 0.4)[0], rewards(6, 1000, 0.8)[0]
    assert compare("b", first, more).verdict == "higher"
    assert compare("b", more, first).verdict == "lower"
    # What costs more is a lift downwards.
    lift = compare("b", -first, -more).lift
    assert lift is not None
    assert lift.high < 0


def test_equal_rewards_and_a_base_near_zero_give_no_nonsense() -> None:
    same = compare("b", np.ones(200), np.ones(200))
    assert (same.verdict, same.p_value, same.difference) == ("undecided", 1.0, (0.0, 0.0, 0.0))
    noise = np.random.default_rng(7).standard_normal((2, 200))
    assert compare("b", noise[0] - noise[0].mean(), noise[1]).lift is None
    assert effective_rewards(np.zeros(5)) == 0.0
    assert effective_rewards(np.array([1e6, *np.ones(99)])) < 1.1
    assert per_user(np.array([0.0, 2.0])).value == 1.0


def test_the_sample_ratio_check_alarms_rarely_and_finds_missing_users() -> None:
    counts = np.random.default_rng(8).multinomial(5000, [0.5, 0.3, 0.2], RUNS)
    alarms = [sample_ratio(one.tolist(), [0.5, 0.3, 0.2]) < 0.001 for one in counts]
    assert np.mean(alarms) < 0.005
    assert sample_ratio([5000, 4500], [0.5, 0.5]) < 0.001


def arm(name: str, values: NDArray[np.float64]) -> ArmLog:
    return ArmLog(name, len(values), values)


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        ((np.ones(1000), np.ones(800)), "a 1,000 (expected 900), b 800 (expected 900)"),
        ((np.ones(110), np.ones(90)), "arm b has 90 users, and needs at least 100"),
        (
            (np.ones(400), np.zeros(400)),
            f"the rewards of arm b say as much as 0.0 equal ones, and at least {FEWEST_REWARDS}",
        ),
        ((np.ones(400), np.array([1e6, *np.ones(399)])), "the rewards of arm b say as much as 1.0 equal ones"),
        ((np.ones(3), np.ones(0)), "arm b has 0 users"),
    ],
)
def test_a_log_that_says_too_little_gives_no_verdict(logs: tuple[NDArray[np.float64], ...], reason: str) -> None:
    found = report([arm(name, values) for name, values in zip("ab", logs, strict=True)], [0.5, 0.5])
    assert found.comparisons == []
    assert any(reason in refusal for refusal in found.refusals)
