"""The routes' rules: which buckets of users a gateway sends to the canary.

A rule matches the header ``x-winnow-bucket``, so a user stays on one side from request to request, and moves once. A
request without the header has no user to keep, and stays on the stable chain until the canary serves all.
"""

import copy

from kfp_pipelines.rollout.objects import Object
from kfp_pipelines.rollout.settings import BUCKETS
from winnow.errors import WinnowError

HEADER = "x-winnow-bucket"
KINDS = ("GRPCRoute", "HTTPRoute")
"""The routes of a chain. The HTTPRoute has the rollout's state, so it is written last."""

RULE = "canary"


def routed(rules: list[Object], stable: str, canary: str, share: int) -> list[Object]:
    """The rules of a route that send a share of the users to the canary.

    Args:
        rules: of the route as it is, at any share.
        stable: name of the stable chain.
        canary: name of the canary's chain.
        share: percent of the buckets, 0 to 100; the buckets of a smaller share are part of a larger one.

    Returns:
        New rules; paths, methods, filters and time limits are those of the route's own rule.

    Raises:
        WinnowError: not exactly one rule leads to the stable chain, or the matches would be too many for a gateway.
    """
    own = [_to(rule, canary, stable) for rule in rules if rule.get("name") != RULE]
    ours = [rule for rule in own if any(_chain_of(each, stable) for each in rule.get("backendRefs", ()))]
    if len(ours) != 1:
        raise WinnowError(
            f"exactly one rule of a route must lead to chain {stable}, found {len(ours)}: a canary takes its users "
            "from that rule. Apply the overlay's routes again."
        )
    if share == 100:
        return [_to(rule, stable, canary) for rule in own]
    rule = _to(ours[0], stable, canary) | {"name": RULE}
    rule["matches"] = [
        copy.deepcopy(match)
        | {"headers": [*match.get("headers", ()), {"type": "Exact", "name": HEADER, "value": str(bucket)}]}
        for match in rule.get("matches", [{}])
        for bucket in range(BUCKETS * share // 100)
    ]
    if len(rule["matches"]) > _MOST_MATCHES:
        raise WinnowError(
            f"{share} % of the users in a route of {len(ours[0]['matches'])} matches are {len(rule['matches'])} "
            f"matches, and a rule of the Gateway API has at most {_MOST_MATCHES}. Use fewer matches in the route, or "
            "smaller steps."
        )
    return [rule, *own] if share else own


_MOST_MATCHES = 64


def _to(rule: Object, old: str, new: str) -> Object:
    """A rule that leads to another chain instead of one."""
    changed = copy.deepcopy(rule)
    for each in changed.get("backendRefs", ()):
        if part := _chain_of(each, old):
            each["name"] = f"{new}-{part}"
    return changed


def _chain_of(backend: Object, chain: str) -> str:
    """The part of a chain that a backend is; empty where it is not one of this chain."""
    return next((part for part in ("transformer", "predictor") if backend["name"] == f"{chain}-{part}"), "")
