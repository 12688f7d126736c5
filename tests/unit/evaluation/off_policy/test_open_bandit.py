"""Two policies of a real shop, logged beside each other: each one's value is estimated from the other's log.

The propensities are the true ones of Saito et al., "Open Bandit Dataset and Pipeline", 2020.
"""

import numpy as np
import pytest
from pyarrow import csv

from tests.support.paths import SHARED
from winnow.evaluation.off_policy.estimators import ESTIMATORS
from winnow.evaluation.off_policy.log import Log, Policy
from winnow.evaluation.off_policy.report import evaluate

FOLDER = SHARED / "data/open-bandit"
ITEMS, POSITIONS = 34, 3

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared/data/open-bandit")


def logged(policy: str) -> Log:
    table = csv.read_csv(FOLDER / f"{policy}-men.csv")
    rows = np.arange(table.num_rows)
    return Log(
        rows,
        rows,
        table["item_id"].to_numpy(),
        table["position"].to_numpy() - 1,
        table["propensity_score"].to_numpy(),
        table["click"].to_numpy().astype(float),
    )


def policy(log: Log, probability: np.ndarray) -> Policy:
    """A policy that shows items with the same probabilities, [positions, items], to all."""
    return Policy(
        np.repeat(log.request, ITEMS),
        np.tile(np.arange(ITEMS), log.requests),
        np.repeat(log.position, ITEMS),
        probability[log.position].ravel(),
    )


def test_the_uniform_policy_is_valued_from_the_bandits_log() -> None:
    log = logged("bts")
    found = evaluate(log, policy(log, np.full((POSITIONS, ITEMS), 1 / ITEMS)))
    value = logged("random").reward.mean()
    for name in ESTIMATORS:
        assert found.estimates[name].low <= value <= found.estimates[name].high, name
        # It tells the two policies apart: the bandit's own clicks are not what it estimates.
        assert not found.estimates[name].low <= log.reward.mean() <= found.estimates[name].high, name


def test_the_bandit_is_valued_from_the_uniform_policys_log() -> None:
    """The bandit changed its probabilities during the week; how often it showed each item is their mean."""
    log, bandit = logged("random"), logged("bts")
    shown = np.zeros((POSITIONS, ITEMS))
    np.add.at(shown, (bandit.position, bandit.item), 1.0)
    found = evaluate(log, policy(log, shown / shown.sum(axis=1, keepdims=True)))
    for name in ESTIMATORS:
        assert found.estimates[name].low <= bandit.reward.mean() <= found.estimates[name].high, name


def test_items_that_the_log_never_showed_are_refused() -> None:
    log = logged("bts")
    never = log._replace(item=np.where(log.item < 4, 4, log.item))
    found = evaluate(never, policy(never, np.repeat([[0.25] * 4 + [0.0] * 30], POSITIONS, axis=0)))
    assert found.estimates == {}
