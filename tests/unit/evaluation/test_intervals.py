"""The bootstrap's intervals: they cover the truth about as often as they say, and differences are paired."""

import numpy as np
import pytest

from winnow.evaluation.intervals import resampled
from winnow.ranking.user_metrics import Ratio


def means(values: np.ndarray) -> dict[str, Ratio]:
    return {"mean": Ratio(values.astype(np.float64), np.ones(len(values)))}


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(5), 0
    for seed in range(200):
        found = resampled({"funnel": means(rng.random(150) < 0.3)}, seed)["funnel"]["mean"].estimate()
        covered += found.low <= 0.3 <= found.high
    # 95 %, within three standard deviations of 200 trials.
    assert 181 <= covered <= 199


def test_a_difference_is_of_the_same_users_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 10, 400)
    found = resampled({"funnel": means(noise + 0.5), "other": means(noise), "same": means(noise + 0.5)})
    alone, ours = found["funnel"]["mean"].estimate(), found["funnel"]["mean"]
    assert alone.low < 0 < alone.high
    # What the users have in common cancels.
    difference = ours.minus(found["other"]["mean"])
    assert (difference.low, difference.value, difference.high) == pytest.approx((0.5, 0.5, 0.5))
    same = ours.minus(found["same"]["mean"])
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_a_metric_that_nobody_can_gain_is_zero_and_one_user_has_no_spread() -> None:
    nothing = {"mean_value": Ratio(np.zeros(3), np.zeros(3))}
    assert resampled({"funnel": nothing})["funnel"]["mean_value"].estimate().model_dump() == dict.fromkeys(
        ("value", "low", "high"), 0.0
    )
    one = resampled({"funnel": means(np.array([1.0]))})["funnel"]["mean"].estimate()
    assert (one.value, one.low, one.high) == (1, 1, 1)


def test_users_beyond_the_memory_of_a_draw_are_resampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random(40)
    whole = resampled({"funnel": means(values)})["funnel"]["mean"].estimate()
    monkeypatch.setattr("winnow.evaluation.intervals._AT_ONCE", 7 * 40)
    parts = resampled({"funnel": means(values)})["funnel"]["mean"]
    assert len(parts.resamples) == 1000
    assert parts.estimate() == whole
