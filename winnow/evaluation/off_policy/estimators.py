"""Three estimators of what a policy earns per request, from the log of another.

Each is a ratio of sums over users, which :mod:`~winnow.evaluation.off_policy.intervals` puts an interval around:

- ``ips``, inverse propensity scoring (Horvitz and Thompson, 1952): every logged reward counts by its importance weight.
  Unbiased where the log has support.
- ``snips``, self-normalised (Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning",
  2015): divides by the weights' sum in place of its expectation, which takes out their noise for a bias that vanishes.
- ``dr``, doubly robust (Dudik, Langford and Li, "Doubly Robust Policy Evaluation and Learning", 2011): a reward model's
  prediction for the policy's slots, corrected by the weighted errors on the logged ones. The model is cross-fitted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.evaluation.off_policy import reward_model
from winnow.evaluation.off_policy.log import Log, Policy

ESTIMATORS = ("ips", "snips", "dr")


class Ratio(NamedTuple):
    """An estimate: the sum of ``above`` over that of ``below``, times ``scale``.

    Attributes:
        above: float64 [users].
        below: float64 [users].
        scale: a constant.
    """

    above: NDArray[np.float64]
    below: NDArray[np.float64]
    scale: float = 1.0

    @property
    def value(self) -> float:
        """The estimate."""
        return self.scale * float(self.above.sum()) / float(self.below.sum())


def estimators(log: Log, policy: Policy, weights: NDArray[np.float64]) -> dict[str, Ratio]:
    """The policy's mean reward per request by each of ``ESTIMATORS``, as sums over users.

    Args:
        log: the log; at least one weight is above 0.
        policy: the policy to evaluate.
        weights: float64 [slots], the log's importance weights.
    """
    of_request = _per_user(log, np.arange(log.requests), np.ones(log.requests))
    earned = _per_user(log, log.request, weights * log.reward)
    logged, wanted = reward_model.predictions(log, policy)
    predicted = _per_user(log, policy.request, policy.probability * wanted)
    corrected = _per_user(log, log.request, weights * (log.reward - logged))
    return {
        "ips": Ratio(earned, of_request),
        "snips": Ratio(earned, _per_user(log, log.request, weights), float(policy.probability.sum()) / log.requests),
        "dr": Ratio(predicted + corrected, of_request),
    }


def on_policy(log: Log) -> Ratio:
    """What the logging policy itself earned per request."""
    return Ratio(
        _per_user(log, log.request, log.reward), _per_user(log, np.arange(log.requests), np.ones(log.requests))
    )


def coverage(log: Log, policy: Policy, weights: NDArray[np.float64]) -> Ratio:
    """The share of the policy's slots that the log could have shown: its expectation is 1 where propensities are right.

    The sum of the weights has the number of the policy's slots as its expectation, unless some of these have a
    propensity of 0; those the log does not contain, so this is how they are seen.
    """
    return Ratio(_per_user(log, log.request, weights), _per_user(log, policy.request, policy.probability))


def _per_user(log: Log, request: NDArray[np.int64], amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums by user of amounts that belong to requests: float64 [users]."""
    return np.bincount(log.user[request], amounts, int(log.user.max(initial=0)) + 1).astype(np.float64)
