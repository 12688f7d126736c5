"""Whether a log says enough about a policy: otherwise there is a statement, and no number.

An interval is only as honest as its inputs. Where few slots carry nearly all weight, or hardly any of them earned
something, the resampled users do not show how different another log would have been; and where the policy shows what
the log never could, no weight makes up for it. The bounds are those at which the intervals kept their coverage
(docs/decisions/0057).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.evaluation.off_policy.estimators import coverage
from winnow.evaluation.off_policy.intervals import Interval, interval
from winnow.evaluation.off_policy.log import Log, Policy

FEWEST_EFFECTIVE_SLOTS = 100
FEWEST_EFFECTIVE_REWARDS = 10
LARGEST_SHARE = 0.1
MOST_UNCOVERED = 0.1


class Support(NamedTuple):
    """How much a log says about a policy.

    Attributes:
        effective_slots: Kish's effective sample size of the weights: the number of equally weighted slots that would
            say as much.
        effective_rewards: the same of the weighted rewards.
        largest_weight: the largest weight.
        largest_share: its share of all weights.
        covered: the estimated share of the policy's slots that the log could have shown, with its interval.
        refusals: why there is no estimate, a sentence each; empty where there is one.
    """

    effective_slots: float
    effective_rewards: float
    largest_weight: float
    largest_share: float
    covered: Interval
    refusals: list[str]


def support(log: Log, policy: Policy, weights: NDArray[np.float64]) -> Support:
    """Measure the support of a policy in a log, and refuse where it is too thin."""
    slots, rewards = _effective(weights), _effective(weights * log.reward)
    largest = float(weights.max(initial=0.0))
    share = largest / float(weights.sum()) if largest else 0.0
    if not len(policy.request):
        return Support(0.0, 0.0, 0.0, 0.0, Interval(0.0, 0.0, 0.0), ["the policy shows nothing for these requests"])
    covered = interval(coverage(log, policy, weights))
    refusals = []
    if covered.value < 1.0 - MOST_UNCOVERED and covered.high < 1.0:
        refusals.append(
            f"about {1.0 - covered.value:.0%} of what it shows has no chance to be in the log: such slots have a "
            "propensity of 0 (serve with `--explore`, or evaluate a release that is closer to the logged one)"
        )
    if covered.low > 1.0 + MOST_UNCOVERED:
        refusals.append(
            f"the weights add up to {covered.value:.2f} of the policy's slots where 1 is expected: the propensities "
            "are not those with which the items were shown"
        )
    if slots < FEWEST_EFFECTIVE_SLOTS:
        refusals.append(
            f"the weights are worth {slots:,.0f} slots of equal weight (of {len(weights):,}), and at least "
            f"{FEWEST_EFFECTIVE_SLOTS} are needed: log for longer, or explore more"
        )
    if rewards < FEWEST_EFFECTIVE_REWARDS:
        refusals.append(
            f"the rewards of what it would have shown are worth {rewards:,.1f} rewards of equal weight, and at least "
            f"{FEWEST_EFFECTIVE_REWARDS} are needed: log for longer, explore more, or choose an objective that is met "
            "more often"
        )
    if share > LARGEST_SHARE:
        refusals.append(f"a single slot has {share:.0%} of all weight (at most {LARGEST_SHARE:.0%}): log for longer")
    return Support(slots, rewards, largest, share, covered, refusals)


def _effective(amounts: NDArray[np.float64]) -> float:
    """``(sum a)^2 / sum a^2`` of their sizes; 0 where all are 0."""
    sizes = np.abs(amounts)
    squares = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / squares if squares else 0.0
