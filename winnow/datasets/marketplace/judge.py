"""A judge of recommendations: it asks the marketplace's own users, rather than the log, what they would do.

A log says nothing about items that were not shown. The judge shows each user a page with the recommended items in the
first places and the marketplace's usual list after them. The user views one item of it, with the choice of the
simulation, and then adds it to the cart, buys or dislikes it with the probabilities of the simulation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.datasets.marketplace import World
from winnow.datasets.marketplace.catalog import END
from winnow.datasets.marketplace.choice import LIST, Seen, Shelf, Viewers, choice_logits, usual_lists
from winnow.datasets.marketplace.outcomes import outcome_probabilities

_PAGES = 8
"""Draws of the usual list per user; all else is computed exactly."""


@dataclass(frozen=True)
class Verdict:
    """What the users do with the recommended items of one page each.

    Every array is float64 [users, k], 0 where there is no item. The sum of a row of the first four is the number of
    recommended items in expectation.

    Attributes:
        viewed: probability of a view; a row's sum is at most 1.
        carted: probability that the item is added to the cart.
        bought: probability of a purchase.
        disliked: probability of a dislike.
        conversion: probability of a purchase after a view.
    """

    viewed: NDArray[np.float64]
    carted: NDArray[np.float64]
    bought: NDArray[np.float64]
    disliked: NDArray[np.float64]
    conversion: NDArray[np.float64]


class Judge:
    """The users of a marketplace in the state that the log left them in.

    Args:
        world: the marketplace.
        until: end of the log in ms; later events have not happened, and the pages are shown at this moment.
    """

    def __init__(self, world: World, until: int = END) -> None:
        self._catalog, self._people = world.catalog, world.people
        self._shelf = Shelf(world.catalog)
        self._now = until
        happened = world.log.timestamp < until
        user, item = world.log.user[happened], world.log.item[happened]
        self._seen = Seen(len(world.people), len(world.catalog))
        self._seen.add(user, item)
        # The log is in the order of time, so that a user's last item stays.
        self._last = np.full(len(world.people), -1)
        self._last[user] = item

    def ask(self, user: NDArray[np.int64], items: NDArray[np.int64], seed: int) -> Verdict:
        """Show one page to each user.

        Args:
            user: int64 [users], rows of users.
            items: int64 [users, k], rows of the recommended items, the first on top; -1 for none. ``k`` is at most
                ``LIST``.
            seed: seed of the usual lists.

        Raises:
            ValueError: the lists are longer than a page.
        """
        k = items.shape[1]
        if k > LIST:
            raise ValueError(f"{k} items per user do not fit on a page of {LIST}; recommend fewer.")
        rng = np.random.default_rng(seed)
        none = items < 0
        recommended = np.where(none, 0, items)
        later = self._people.drift(user, self._now)
        views = np.zeros(items.shape)
        for _ in range(_PAGES):
            for taste, share in ((0, 1 - later), (1, later)):
                viewers = self._viewers(user, taste)
                usual = usual_lists(self._catalog, self._people, self._shelf, viewers, rng)
                page = np.hstack([recommended, usual[:, : LIST - k]])
                logits = choice_logits(self._catalog, self._people, self._seen, viewers, page)
                logits[:, :k][none] = -np.inf
                views += (share / _PAGES)[:, None] * _shares(logits)[:, :k]
        after = outcome_probabilities(self._catalog, self._people, user[:, None], recommended, self._now)
        return Verdict(
            viewed=views,
            carted=views * after.cart,
            bought=views * after.bought,
            disliked=views * after.dislike,
            conversion=np.where(none, 0.0, after.bought),
        )

    def _viewers(self, user: NDArray[np.int64], taste: int) -> Viewers:
        last = self._last[user]
        return Viewers(user, np.full(len(user), taste), np.maximum(last, 0), last < 0, np.full(len(user), self._now))


def _shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The softmax of each row; zeros for a row without anything to choose."""
    weights = np.exp(logits - np.maximum(logits.max(axis=1, keepdims=True), -1e9))
    shares: NDArray[np.float64] = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    return shares
