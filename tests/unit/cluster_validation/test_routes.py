"""Which backend the gateway's routes select: the canary's buckets, and what is reachable from outside."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from cluster_validation.checks.routes import backends
from cluster_validation.manifests.objects import MANIFESTS, overlays
from cluster_validation.manifests.workloads import serving_part
from cluster_validation.schemas import check as schemas
from tests.support.cluster.manifests import changed, findings, put, rendered

HEADER = "x-winnow-bucket"
BUCKETS = 20

PATHS = ("/v1/models/recommender:predict", "/v2/models/recommender/infer", "/v1/models/events:predict")
GRPC = "/inference.GRPCInferenceService"
INFER = f"{GRPC}/ModelInfer"


@pytest.fixture(scope="module")
def bucket_of() -> Callable[[str], int]:
    """The function that ``kserve_manifests/README.md`` gives to callers."""
    (source,) = re.findall(r"```python\n(import hashlib\n.*?)```", (MANIFESTS / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    function: Callable[[str], int] = names["bucket_of"]
    return function


def side(route: dict[str, Any], path: str, bucket: int) -> str:
    """The service that gets a request of a user in a bucket."""
    weights = backends(route, path, {HEADER.upper(): str(bucket)})
    assert len(weights) == 1, "the gateway chooses between several backends at random"
    return next(iter(weights))


def test_a_user_stays_on_one_side_of_the_canary_in_every_call(bucket_of):
    http, grpc = (rendered("canary").find(kind, "recommender") for kind in ("HTTPRoute", "GRPCRoute"))
    calls = [*((http, path) for path in PATHS), (grpc, INFER)]
    users = [f"u{n:05d}" for n in range(4000)]
    sides = {user: {side(*call, bucket_of(user)) for call in calls} for user in users}
    assert all(len(each) == 1 for each in sides.values())
    share = sum(each == {"recommender-canary-transformer"} for each in sides.values()) / len(sides)
    assert 0.04 < share < 0.06


def test_growing_a_canary_moves_no_user_back(bucket_of):
    def with_buckets(count: int) -> dict[str, Any]:
        route = copy.deepcopy(rendered("canary").find("HTTPRoute", "recommender"))
        rule = route["spec"]["rules"][0]
        rule["matches"] = [
            {"path": match["path"], "headers": [{"type": "Exact", "name": HEADER, "value": str(bucket)}]}
            for match in rule["matches"]
            for bucket in range(count)
        ]
        return route

    users = [f"u{n}" for n in range(500)]
    before: set[str] = set()
    for count in (1, 5, 10, BUCKETS):
        route = with_buckets(count)
        assert findings(changed("canary", put("HTTPRoute", "recommender", "spec", route["spec"])), schemas.check) == []
        moved = {user for user in users if side(route, PATHS[0], bucket_of(user)).startswith("recommender-canary")}
        assert before <= moved
        before = moved
    assert len(before) == 500


def test_a_request_without_a_valid_bucket_goes_to_the_stable_chain():
    route = rendered("canary").find("HTTPRoute", "recommender")
    for headers in ({}, {HEADER: "20"}, {HEADER: "x"}):
        assert backends(route, PATHS[0], headers) == {"recommender-transformer": 1}


@pytest.mark.parametrize("overlay", overlays())
def test_only_model_calls_are_routed_over_grpc(overlay):
    route = rendered(overlay).find("GRPCRoute", "recommender")
    (chain,) = [each for each in rendered(overlay).chains if each["metadata"]["name"] == "recommender"]
    for method in ("ModelInfer", "ModelReady", "ModelMetadata"):
        assert backends(route, f"{GRPC}/{method}") == {f"recommender-{serving_part(chain)}": 1}
    for path in (f"{GRPC}/RepositoryModelUnload", f"{GRPC}/ServerMetadata", "/grpc.health.v1.Health/Check", "/"):
        assert backends(route, path) == {}


@pytest.mark.parametrize(
    "path", ["/metrics", "/v2/repository/models/recommender/unload", "/v1/models2", "/", "/openapi.json"]
)
@pytest.mark.parametrize("overlay", overlays())
def test_only_models_are_routed_over_http(overlay, path):
    assert backends(rendered(overlay).find("HTTPRoute", "recommender"), path) == {}


def test_the_most_specific_match_wins():
    def rule(name: str, *matches: dict[str, Any]) -> dict[str, Any]:
        return {"matches": list(matches), "backendRefs": [{"name": name, "port": 80}]}

    route = {
        "kind": "HTTPRoute",
        "spec": {
            "rules": [
                rule("root", {"path": {"type": "PathPrefix", "value": "/"}}),
                rule("posted", {"path": {"type": "PathPrefix", "value": "/a"}, "method": "POST"}),
                rule(
                    "header", {"path": {"type": "PathPrefix", "value": "/a"}, "headers": [{"name": "X", "value": "1"}]}
                ),
                rule("longer", {"path": {"type": "PathPrefix", "value": "/a/b"}}),
                rule("exact", {"path": {"type": "Exact", "value": "/a/b"}}),
            ]
        },
    }
    expected = {
        ("/a/b", "POST", ""): "exact",
        ("/a/b/c", "POST", "1"): "longer",
        ("/a/x", "POST", "1"): "posted",
        ("/a/x", "GET", "1"): "header",
        ("/ab", "POST", "1"): "root",
    }
    for (path, method, header), name in expected.items():
        assert backends(route, path, {"x": header}, method) == {name: 1}
    with pytest.raises(NotImplementedError, match="gateways interpret differently"):
        backends(
            {
                "kind": "HTTPRoute",
                "spec": {"rules": [rule("r", {"path": {"type": "RegularExpression", "value": ".*"}})]},
            },
            "/",
        )
