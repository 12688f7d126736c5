"""The result of an experiment, or the reasons why there is none."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from winnow.evaluation.experiments.log import ArmLog
from winnow.evaluation.experiments.statistics import (
    FEWEST_REWARDS,
    FEWEST_USERS,
    RATIO_ALARM,
    Comparison,
    Interval,
    compare,
    effective_rewards,
    per_user,
    sample_ratio,
)


class ArmResult(NamedTuple):
    """What one arm earned.

    Attributes:
        arm: its name.
        share: its declared share of the users.
        users: number of its users.
        requests: number of their answers.
        rewarded: number of users whose reward is not 0.
        reward: reward per user, with its own 95 % interval; `None` with fewer than two users.
    """

    arm: str
    share: float
    users: int
    requests: int
    rewarded: int
    reward: Interval | None


class ExperimentReport(NamedTuple):
    """The result of an experiment.

    Attributes:
        arms: what each arm earned.
        sample_ratio: p-value of the chi-square test of the numbers of users against the declared shares.
        comparisons: each further arm against the first; empty where ``refusals`` has a reason.
        refusals: why there is no comparison, a sentence each.
    """

    arms: list[ArmResult]
    sample_ratio: float
    comparisons: list[Comparison]
    refusals: list[str]


def report(logs: Sequence[ArmLog], shares: Sequence[float]) -> ExperimentReport:
    """Compare the arms of an experiment with its first one.

    Args:
        logs: what was logged of each arm; at least one user in all.
        shares: the declared share of each arm.
    """
    arms = [
        ArmResult(
            log.name,
            share,
            len(log.rewards),
            log.requests,
            int(np.count_nonzero(log.rewards)),
            per_user(log.rewards) if len(log.rewards) > 1 else None,
        )
        for log, share in zip(logs, shares, strict=True)
    ]
    ratio = sample_ratio([arm.users for arm in arms], shares)
    refusals = [*_ratio_refusal(arms, ratio), *(reason for log in logs for reason in _too_few(log))]
    first, *others = logs
    comparisons = (
        [] if refusals else [compare(log.name, first.rewards, log.rewards, comparisons=len(others)) for log in others]
    )
    return ExperimentReport(arms, ratio, comparisons, refusals)


def _ratio_refusal(arms: Sequence[ArmResult], ratio: float) -> list[str]:
    if ratio >= RATIO_ALARM:
        return []
    users = sum(arm.users for arm in arms)
    found = ", ".join(f"{arm.arm} {arm.users:,} (expected {arm.share * users:,.0f})" for arm in arms)
    return [
        f"the numbers of users do not fit the shares of the arms: {found}; chance does so in fewer than one of "
        f"{1 / RATIO_ALARM:,.0f} experiments (p = {ratio:.1g}). Users of an arm are missing, or the shares changed: "
        "the arms are not comparable. Find the cause (errors or time-outs of one arm, a filter in the client), "
        "and start a new experiment"
    ]


def _too_few(log: ArmLog) -> list[str]:
    if len(log.rewards) < FEWEST_USERS:
        return [f"arm {log.name} has {len(log.rewards):,} users, and needs at least {FEWEST_USERS}: log for longer"]
    if (effective := effective_rewards(log.rewards)) < FEWEST_REWARDS:
        return [
            f"the rewards of arm {log.name} say as much as {effective:,.1f} equal ones, and at least {FEWEST_REWARDS} "
            "are needed: log for longer, or choose an objective that is met more often (--objective)"
        ]
    return []
