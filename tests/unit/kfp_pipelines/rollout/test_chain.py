"""A chain that is made of another is the one that kustomize renders."""

import copy

import pytest

from cluster_validation.checks import release
from cluster_validation.manifests.objects import Objects, outside
from kfp_pipelines.rollout.chain import CHAIN, derived, release_of
from kfp_pipelines.rollout.routes import KINDS, routed
from tests.support.cluster.manifests import rendered
from winnow.errors import WinnowError


def chain(overlay, name="recommender"):
    return [each for each in rendered(overlay).all if each["metadata"].get("labels", {}).get(CHAIN) == name]


def by_name(objects):
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def as_stored(each):
    """An object with what the API server and the controllers write into it."""
    stored = copy.deepcopy(each)
    stored["metadata"] |= {
        "uid": "1",
        "resourceVersion": "7",
        "generation": 3,
        "managedFields": [],
        "finalizers": ["f"],
    }
    stored["metadata"]["annotations"] = each["metadata"].get("annotations", {}) | {
        "kubectl.kubernetes.io/last-applied-configuration": "{}"
    }
    stored["status"] = {"conditions": []}
    if each["kind"] == "Job":
        labels = {
            "batch.kubernetes.io/controller-uid": "1",
            "controller-uid": "1",
            "job-name": each["metadata"]["name"],
        }
        stored["metadata"]["labels"] |= labels
        stored["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": "1"}}
        stored["spec"]["template"]["metadata"]["labels"] |= labels
    return stored


def test_the_canary_of_the_stable_chain_is_that_of_the_overlay():
    made = derived([*map(as_stored, chain("gpu"))], "recommender", "recommender-canary", 2)
    assert by_name(made) == by_name(chain("canary", "recommender-canary"))


@pytest.mark.parametrize("overlay", ["dev", "gpu", "small", "milvus"])
def test_a_canary_of_every_overlay_serves_its_release_alone(overlay):
    made = derived(chain(overlay), "recommender", "recommender-canary", 12)
    routes = copy.deepcopy([each for kind in KINDS for each in rendered(overlay).of(kind)])
    for route in routes:
        route["spec"]["rules"] = routed(route["spec"]["rules"], "recommender", "recommender-canary", 25)
    others = [each for each in rendered(overlay).all if each["kind"] not in KINDS]
    assert [*map(str, release.check(Objects([*others, *routes, *made], outside())))] == []
    assert release_of(made) == 12
    names = {each["metadata"]["name"] for each in made}
    assert all(name.startswith("recommender-canary") for name in names)


@pytest.mark.parametrize("overlay", ["gpu", "small"])
def test_another_release_changes_nothing_else(overlay):
    there = derived(chain(overlay), "recommender", "recommender", 12)
    assert release_of(there) == 12
    assert by_name(derived(there, "recommender", "recommender", 1)) == by_name(chain(overlay))


def test_what_is_missing_is_named():
    stable = chain("gpu")
    with pytest.raises(WinnowError, match="chain recommender has no Job that publishes its release 1, of which"):
        derived([each for each in stable if each["kind"] != "Job"], "recommender", "recommender-canary", 2)
    with pytest.raises(WinnowError, match="the stable chain must have one InferenceService"):
        derived([], "recommender", "recommender-canary", 2)
