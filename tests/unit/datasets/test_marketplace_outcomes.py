"""What the marketplace's users do after a view, and the judge that asks them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from winnow.datasets.marketplace import MarketplaceSize, World, simulated
from winnow.datasets.marketplace.attributes import CATEGORY_NAMES
from winnow.datasets.marketplace.behaviour import CART, DISLIKE, PURCHASE, VIEW
from winnow.datasets.marketplace.catalog import DAY, END
from winnow.datasets.marketplace.judge import Judge
from winnow.datasets.marketplace.outcomes import Outcomes, outcome_probabilities

SIZE = MarketplaceSize(items=400, users=1200, events=60_000)
EVERY = np.arange(SIZE.users)


@pytest.fixture(scope="module")
def world() -> World:
    return simulated(SIZE)


@pytest.fixture(scope="module")
def judge(world: World) -> Judge:
    return Judge(world)


class Views:
    """The views of the log with what followed them, and the probabilities of the generator."""

    def __init__(self, world: World) -> None:
        log = world.log
        order = np.lexsort((np.arange(len(log.user)), log.user))
        user, item, event = log.user[order], log.item[order], log.event[order]

        def follows(wanted: int, after: NDArray[np.bool_]) -> NDArray[np.bool_]:
            same = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (event[1:] == wanted)
            return np.append(after[:-1] & same, False)

        view = event == VIEW
        carted, disliked = follows(CART, view), follows(DISLIKE, view)
        bought = np.roll(follows(PURCHASE, event == CART), -1) & carted
        self.followed = {"cart": carted[view], "purchase": bought[view], "dislike": disliked[view]}
        self.user, self.item = user[view], item[view]
        expected = outcome_probabilities(world.catalog, world.people, self.user, self.item, log.timestamp[order][view])
        self.expected = {"cart": expected.cart, "purchase": expected.bought, "dislike": expected.dislike}


@pytest.fixture(scope="module")
def views(world: World) -> Views:
    return Views(world)


@pytest.mark.parametrize(
    ("event", "low", "high"), [("cart", 0.1, 0.15), ("purchase", 0.03, 0.05), ("dislike", 0.02, 0.04)]
)
def test_outcomes_have_the_rates_of_a_shop_and_can_be_predicted(
    views: Views, event: str, low: float, high: float
) -> None:
    followed, expected = views.followed[event], views.expected[event]
    assert low < followed.mean() < high
    assert area_under_curve(expected, followed) > 0.75
    # The log is drawn from these probabilities; only the last event of a user has no successor.
    for tenth in np.array_split(np.argsort(expected), 10):
        assert followed[tenth].mean() == pytest.approx(expected[tenth].mean(), rel=0.2, abs=0.006)


def test_what_is_viewed_most_is_not_what_is_bought(world: World, views: Views) -> None:
    bought = views.followed["purchase"]
    known = world.catalog.appeal[views.item] > np.quantile(world.catalog.appeal, 0.9)
    assert bought[known].mean() < 0.75 * bought[~known].mean()
    price = np.log(world.catalog.price / world.catalog.typical)[views.item] - np.log(world.people.budget[views.user])
    dearer, affordable = (price > 0.1) & (price < 0.4), (price > -0.5) & (price < -0.2)
    assert dearer.sum() > affordable.sum()
    assert bought[dearer].mean() < 0.4 * bought[affordable].mean()
    by_category = [bought[world.catalog.category[views.item] == number].mean() for number in range(len(CATEGORY_NAMES))]
    assert max(by_category) > 5 * min(by_category)


def test_users_view_the_category_that_they_dislike(world: World, views: Views) -> None:
    averse = world.catalog.category[views.item] == world.people.aversion[views.user]
    assert averse.mean() > 1 / len(CATEGORY_NAMES)
    disliked = views.followed["dislike"]
    assert disliked[averse].mean() > 20 * disliked[~averse].mean()


def test_the_judge_counts_what_the_generator_would_do(world: World, judge: Judge) -> None:
    items = np.random.default_rng(0).integers(SIZE.items, size=(SIZE.users, 10))
    verdict = judge.ask(EVERY, items, seed=1)
    again = judge.ask(EVERY, items, seed=1)
    assert np.array_equal(verdict.viewed, again.viewed)
    assert np.all(verdict.viewed >= 0)
    assert np.all(verdict.viewed.sum(axis=1) < 1)
    expected: Outcomes = outcome_probabilities(world.catalog, world.people, EVERY[:, None], items, END)
    assert np.array_equal(verdict.conversion, expected.cart * expected.buy)
    assert np.array_equal(verdict.carted, verdict.viewed * expected.cart)
    assert np.array_equal(verdict.bought, verdict.viewed * expected.bought)
    assert np.array_equal(verdict.disliked, verdict.viewed * expected.dislike)


def test_an_oracle_of_purchases_sells_more_and_one_of_views_is_viewed_more(world: World, judge: Judge) -> None:
    items = np.tile(np.arange(SIZE.items), (SIZE.users, 1))
    after = outcome_probabilities(world.catalog, world.people, EVERY[:, None], items, END)
    taste = world.people.category[1][:, world.catalog.category] * world.people.style[1][:, world.catalog.style]
    taste = taste * world.catalog.available
    liked, sold = (np.argsort(-reason, axis=1)[:, :10] for reason in (taste, taste * after.bought))
    random = np.random.default_rng(0).integers(SIZE.items, size=(SIZE.users, 10))
    by_taste, by_sales, by_chance = (judge.ask(EVERY, chosen, seed=0) for chosen in (liked, sold, random))
    assert by_taste.viewed.mean() > 1.15 * by_chance.viewed.mean()
    assert by_sales.bought.mean() > 1.5 * by_taste.bought.mean()
    assert by_sales.disliked.mean() < 0.7 * by_taste.disliked.mean()


def test_first_places_are_viewed_most_and_seen_future_or_missing_items_hardly_or_never(world: World) -> None:
    catalog = world.catalog
    old = np.flatnonzero(catalog.created_at < END - 60 * DAY)
    future = np.flatnonzero(catalog.created_at > END - 20 * DAY)[:1]
    judge = Judge(world, until=END - 20 * DAY)
    lists = np.tile(old[:10], (SIZE.users, 1))
    down, up = judge.ask(EVERY, lists, seed=0), judge.ask(EVERY, lists[:, ::-1], seed=0)
    assert down.viewed[:, 0].mean() > 2 * up.viewed[:, 9].mean()
    assert not judge.ask(EVERY, np.tile(future, (SIZE.users, 1)), seed=0).viewed.any()
    assert not judge.ask(EVERY, np.full((SIZE.users, 30), -1), seed=0).viewed.any()
    log = world.log
    before = log.timestamp < END - 20 * DAY
    unseen = replace(log, **{name: getattr(log, name)[~before] for name in ("user", "item", "event", "timestamp")})
    user, item = log.user[before][-300:], log.item[before][-300:, None]
    met, new = (Judge(each, END - 20 * DAY).ask(user, item, seed=0) for each in (world, world._replace(log=unseen)))
    assert met.viewed.mean() < 0.1 * new.viewed.mean()


def test_a_list_that_does_not_fit_on_a_page_is_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match="31 items per user do not fit on a page of 30"):
        judge.ask(EVERY, np.zeros((SIZE.users, 31), np.int64), seed=0)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 4)])
def test_the_judge_of_a_tiny_marketplace(size: tuple[int, int, int]) -> None:
    judge = Judge(simulated(MarketplaceSize(*size)))
    verdict = judge.ask(np.zeros(1, np.int64), np.zeros((1, 1), np.int64), seed=0)
    assert 0 < verdict.viewed[0, 0] <= 1


def area_under_curve(score: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Probability that a true case has a higher score than a false one."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score)] = np.arange(1, len(score) + 1)
    wins = ranks[true].sum() - true.sum() * (true.sum() + 1) / 2
    return float(wins / true.sum() / (~true).sum())
