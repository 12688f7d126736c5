"""The rules of a step: which users are on the canary, and that a gateway accepts them."""

import pytest

from cluster_validation.checks.routes import backends
from cluster_validation.schemas import check as schemas
from kfp_pipelines.rollout.routes import HEADER, KINDS, routed
from kfp_pipelines.rollout.settings import BUCKETS
from tests.support.cluster.manifests import changed, findings, put, rendered
from winnow.errors import WinnowError

CALLS = {"HTTPRoute": "/v1/models/recommender:predict", "GRPCRoute": "/inference.GRPCInferenceService/ModelInfer"}
OVERLAYS = {"gpu": "transformer", "small": "predictor"}


def rules(overlay, kind):
    return rendered(overlay).find(kind, "recommender")["spec"]["rules"]


def canaries(kind, given):
    """The buckets that are on the canary, and whether a request without a bucket is."""
    route = {"kind": kind, "spec": {"rules": given}}
    sides = [next(iter(backends(route, CALLS[kind], {HEADER: str(bucket)}))) for bucket in range(BUCKETS)]
    buckets = [number for number, side in enumerate(sides) if side.startswith("recommender-canary-")]
    return buckets, next(iter(backends(route, CALLS[kind]))).startswith("recommender-canary-")


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_steps_move_users_once_and_back_to_the_same_rules(overlay, kind):
    before = given = rules(overlay, kind)
    for share in (5, 25, 50, 100, 50, 0):
        given = routed(given, "recommender", "recommender-canary", share)
        # A request without a bucket stays until all are on the canary.
        assert canaries(kind, given) == (list(range(BUCKETS * share // 100)), share == 100)
        planted = changed(overlay, put(kind, "recommender", "spec/rules", given))
        assert findings(planted, schemas.check) == []
        services = {each["name"] for rule in given for each in rule["backendRefs"]}
        assert services <= {f"recommender{side}-{OVERLAYS[overlay]}" for side in ("", "-canary")}
    assert given == before


def test_the_rules_of_the_canary_overlay_are_a_step():
    hand_made = rules("canary", "HTTPRoute")
    assert routed(hand_made, "recommender", "recommender-canary", 5) == hand_made
    assert routed(hand_made, "recommender", "recommender-canary", 0) == rules("gpu", "HTTPRoute")


def test_a_route_that_a_step_cannot_be_made_of_is_refused():
    with pytest.raises(WinnowError, match="exactly one rule of a route must lead to chain recommender, found 0"):
        routed([], "recommender", "recommender-canary", 5)
    (rule,) = rules("gpu", "HTTPRoute")
    many = rule | {"matches": [{"path": {"type": "PathPrefix", "value": f"/{n}"}} for n in range(7)]}
    with pytest.raises(WinnowError, match="50 % of the users in a route of 7 matches are 70 matches"):
        routed([many], "recommender", "recommender-canary", 50)
