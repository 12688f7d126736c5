"""Whether a canary is worse than the stable chain, as good, or not known to be either yet.

Each measure has a bound (:mod:`kfp_pipelines.rollout.settings`) and an interval from both chains' counts. The canary is
worse where the whole interval is beyond the bound, and fine where none of it is: so few requests decide nothing, and a
difference that is not worth a rollback causes none, however many requests show it.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, NamedTuple

from kfp_pipelines.rollout.prometheus import Counts
from kfp_pipelines.rollout.settings import RolloutSettings

Finding = Literal["worse", "fine", "unknown"]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """One measure of a canary against the stable chain.

    Attributes:
        name: of the measure.
        verdict: what the counts say of it.
        message: the figures, for the operator.
    """

    name: str
    verdict: Finding
    message: str

    def __str__(self) -> str:
        return f"{self.name} {self.verdict}: {self.message}"


def compare(canary: Counts, stable: Counts, settings: RolloutSettings, clicks: bool = True) -> list[Check]:
    """Compare a canary with the stable chain.

    Args:
        canary: what the canary did.
        stable: what the stable chain did, in the same span or an earlier one.
        settings: bounds and confidences.
        clicks: whether to compare the users' events, which two spans of different hours do not allow.
    """
    requests = canary.answered + canary.failed, stable.answered + stable.failed
    checks = [
        _share("failures", (canary.failed, stable.failed), requests, settings.failures, settings),
        _share(
            "degraded",
            (canary.degraded, stable.degraded),
            (canary.answered, stable.answered),
            settings.degraded,
            settings,
        ),
        _latency(canary, stable, settings),
    ]
    return [*checks, _clicks(canary, stable, settings)] if clicks else checks


def overall(checks: list[Check]) -> Finding:
    """Worse where one check is, fine where all are."""
    verdicts = {each.verdict for each in checks}
    return "worse" if "worse" in verdicts else "fine" if verdicts == {"fine"} else "unknown"


def _share(
    name: str, hits: tuple[float, float], of: tuple[float, float], bound: float, settings: RolloutSettings
) -> Check:
    """Compare two shares by their difference."""
    if min(of) < 1:
        return Check(name, "unknown", f"{of[0]:.0f} requests of the canary, {of[1]:.0f} of the stable chain")
    sure, fine = (
        difference((hits[0], of[0]), (hits[1], of[1]), confidence)
        for confidence in (settings.confidence_worse, settings.confidence_fine)
    )
    verdict: Finding = "worse" if sure.low > bound else "fine" if fine.high <= bound else "unknown"
    shares = f"{hits[0] / of[0]:.2%} of {of[0]:.0f}, stable {hits[1] / of[1]:.2%} of {of[1]:.0f}"
    return Check(name, verdict, f"{shares}, at most {bound:.2%} more allowed")


def _latency(canary: Counts, stable: Counts, settings: RolloutSettings) -> Check:
    """Compare the 99th percentiles by the share of the canary's requests that are slower than allowed.

    A quantile is a share turned around: the canary's 99th percentile is above a latency exactly if more than 1 % of its
    requests are. The latency is the histogram's first bound that is not below the allowed one: the counts are exact.
    """
    if min(canary.answered, stable.answered) < 1:
        return Check("latency", "unknown", f"{canary.answered:.0f} recommendations, stable {stable.answered:.0f}")
    bounds = sorted(bound for bound in stable.within if math.isfinite(bound))
    p99 = next((bound for bound in bounds if stable.within[bound] >= 0.99 * stable.answered), math.inf)
    limit = next((bound for bound in bounds if bound >= settings.slower * p99), math.inf)
    allowed = 0.01
    if math.isinf(limit) and bounds:
        # The stable chain is at the end of the histogram, where the 99th percentile of a slower canary does not show.
        limit = bounds[-1]
        allowed = max(allowed, settings.slower * (1 - stable.within[limit] / stable.answered))
    slow = canary.answered - canary.within.get(limit, canary.answered)
    sure, fine = (
        wilson(slow, canary.answered, confidence)
        for confidence in (settings.confidence_worse, settings.confidence_fine)
    )
    verdict: Finding = "worse" if sure.low > allowed else "fine" if fine.high <= allowed else "unknown"
    message = f"{slow / canary.answered:.2%} of {canary.answered:.0f} slower than {limit:g} s, at most {allowed:.2%} "
    return Check("latency", verdict, f"{message}allowed; the 99th percentile of the stable chain is {p99:g} s")


def _clicks(canary: Counts, stable: Counts, settings: RolloutSettings) -> Check:
    """Compare the liked events per recommendation by their ratio.

    Given the sum of two Poisson counts, one of them is binomial, so an interval of its share is one of the ratio
    (Przyborowski and Wilenski, 1940).
    """
    if min(canary.answered, stable.answered) < 1:
        return Check("clicks", "unknown", "no recommendations")
    if canary.liked + stable.liked < 1:
        return Check("clicks", "fine", "no events in either chain, so none are compared")
    exposure = stable.answered / canary.answered

    def ratio(confidence: float) -> Interval:
        of = (canary.liked + stable.liked) / settings.events_per_user
        share = wilson(canary.liked / settings.events_per_user, of, confidence)
        return Interval(*(math.inf if end >= 1 else exposure * end / (1 - end) for end in share))

    bound = 1 - settings.fewer_clicks
    sure, fine = ratio(settings.confidence_worse), ratio(settings.confidence_fine)
    verdict: Finding = "worse" if sure.high < bound else "fine" if fine.low >= bound else "unknown"
    rates = f"{canary.liked / canary.answered:.3f} liked events per recommendation, stable "
    return Check(
        "clicks", verdict, f"{rates}{stable.liked / stable.answered:.3f}, at least {bound:.2f} times it required"
    )


def wilson(hits: float, of: float, confidence: float) -> Interval:
    """The interval of a share that Wilson (1927) gives, which holds for few and for no hits.

    Args:
        hits: number of successes.
        of: number of trials, above 0.
        confidence: that the share is not below the interval, and that it is not above: one-sided each.
    """
    z = NormalDist().inv_cdf(confidence)
    share = min(1.0, max(0.0, hits / of))
    middle = share + z * z / (2 * of)
    width = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return Interval(*(min(1.0, max(0.0, (middle + sign * width) / (1 + z * z / of))) for sign in (-1, 1)))


def difference(one: tuple[float, float], other: tuple[float, float], confidence: float) -> Interval:
    """The interval of the difference of two shares: Newcombe's (1998) of two Wilson intervals.

    Args:
        one: successes and trials, whose share is the minuend.
        other: successes and trials, whose share is the subtrahend.
        confidence: one-sided, as in :func:`wilson`.
    """
    shares = [hits / of for hits, of in (one, other)]
    first, second = wilson(*one, confidence), wilson(*other, confidence)
    middle = shares[0] - shares[1]
    low = middle - math.hypot(shares[0] - first.low, second.high - shares[1])
    return Interval(low, middle + math.hypot(first.high - shares[0], shares[1] - second.low))
