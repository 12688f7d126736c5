"""Logged slots, the policy to evaluate, and the importance weights between them.

A slot is one item at one position of one shown list. All estimators here use the item-position model (Li,
Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen, "Offline Evaluation of Ranking Policies with Click Models", KDD
2018): what a slot earns depends on the user, the item and the position, not on the other items of the list. So only the
marginal probability of each slot is needed, and the value of a list is the sum over its slots.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.errors import WinnowError


class Log(NamedTuple):
    """What was shown, and what came of it: a row per slot.

    Attributes:
        user: int64 [requests], whom each request was for; requests of one user are not independent.
        request: int64 [slots], 0..requests-1.
        item: int64 [slots], from 0.
        position: int64 [slots], from 0.
        propensity: float64 [slots], the probability with which the item was shown at the position of that request.
        reward: float64 [slots], what came of it.
    """

    user: NDArray[np.int64]
    request: NDArray[np.int64]
    item: NDArray[np.int64]
    position: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.user)

    def check(self) -> None:
        """Refuse propensities that are no probabilities.

        Raises:
            WinnowError: the log is empty, or a propensity is not above 0 and at most 1.
        """
        if not len(self.request):
            raise WinnowError("the log has no impressions: there is nothing to estimate from")
        wrong = ~((self.propensity > 0) & (self.propensity <= 1))
        if wrong.any():
            raise WinnowError(
                f"propensity: must be above 0 and at most 1; {int(wrong.sum()):,} of {len(wrong):,} logged slots have "
                f"another value, such as {self.propensity[wrong][0]:g}: leave those requests out"
            )


class Policy(NamedTuple):
    """The policy to evaluate, for the requests of a log: a row per slot that it may show; no slot is named twice.

    Attributes:
        request: int64 [m].
        item: int64 [m], from 0.
        position: int64 [m], from 0.
        probability: float64 [m], with which it shows the item at the position; 1 for a deterministic list.
    """

    request: NDArray[np.int64]
    item: NDArray[np.int64]
    position: NDArray[np.int64]
    probability: NDArray[np.float64]


def weights(log: Log, policy: Policy) -> NDArray[np.float64]:
    """The importance weight of each logged slot: the policy's probability of it over its propensity; [slots]."""
    if not len(policy.request):
        return np.zeros(len(log.request))
    items = int(max(log.item.max(), policy.item.max())) + 1
    positions = int(max(log.position.max(), policy.position.max())) + 1

    def key(of: Log | Policy) -> NDArray[np.int64]:
        return (of.request * positions + of.position) * items + of.item

    known = key(policy)
    order = np.argsort(known)
    known, wanted = known[order], key(log)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, policy.probability[order[place]], 0.0) / log.propensity
