"""What users do with an item that they view: add it to the cart, buy it, or dislike it.

The simulation draws from these probabilities and the judge computes with them, so both mean the same users. They depend
on what a model can know: category, price against the category's typical price and the user's budget, style, colour,
popularity and aversion. They differ from the reasons to view an item on purpose: bestsellers and items somewhat above
the budget are viewed often and bought rarely.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace.attributes import CONVERSIONS
from winnow.datasets.marketplace.catalog import Catalog
from winnow.datasets.marketplace.people import People

_MOST_CARTS, _MOST_BUYS, _MOST_DISLIKES = 0.6, 0.7, 0.4


class Outcomes(NamedTuple):
    """Probabilities of what follows a view within the same visit; the shape is that of the items.

    Attributes:
        cart: given the view.
        buy: given the cart.
        dislike: given the view; an item is not both disliked and added to the cart.
    """

    cart: NDArray[np.float64]
    buy: NDArray[np.float64]
    dislike: NDArray[np.float64]

    @property
    def bought(self) -> NDArray[np.float64]:
        """Probability of a purchase given the view."""
        return self.cart * self.buy


def outcome_probabilities(
    catalog: Catalog,
    people: People,
    viewer: NDArray[np.int64],
    item: NDArray[np.int64],
    now: NDArray[np.int64] | int,
) -> Outcomes:
    """What the users ``viewer`` do with the items that they view at ``now``.

    Args:
        catalog: the items.
        people: the users.
        viewer: rows of the users; it must broadcast with ``item``.
        item: rows of the items.
        now: time of the view in ms; it must broadcast with ``viewer``.
    """
    later = people.drift(viewer, now)

    def liking(shares: NDArray[np.float64], kind: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log of the user's share of a kind, against an even share."""
        share = (1 - later) * shares[0, viewer, kind] + later * shares[1, viewer, kind]
        against_even: NDArray[np.float64] = np.log(np.maximum(share, 0.02) * shares.shape[-1])
        return against_even

    category = catalog.category[item]
    readiness = CONVERSIONS[category]
    style, colour = liking(people.style, catalog.style[item]), liking(people.colour, catalog.colour[item])
    dearness = np.log(catalog.price[item] / catalog.typical[item])
    above_budget = dearness - np.log(people.budget[viewer])
    fame = np.clip(np.log(catalog.appeal[item] / np.median(catalog.appeal)), 0.0, 3.0)
    averse = category == people.aversion[viewer]

    wish = 0.8 * readiness + 0.6 * style + 0.3 * liking(people.category, category) + 0.3 * colour - 0.35 * fame
    cart = -1.55 + wish - 1.5 * np.maximum(above_budget, -0.2) - 2.5 * averse
    buy = -1.0 + 0.8 * readiness + 0.3 * style - 3.0 * np.maximum(above_budget, -0.3) - 1.0 * dearness
    dislike = -5.2 + 4.2 * averse + 0.6 * fame + 2.0 * np.maximum(above_budget, 0.0) - 0.3 * style
    disliked = _MOST_DISLIKES * _sigmoid(dislike)
    return Outcomes((1 - disliked) * _MOST_CARTS * _sigmoid(cart), _MOST_BUYS * _sigmoid(buy), disliked)


def _sigmoid(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logit))
