"""Chains without Triton (overlay ``small``), whose transformer computes the models."""

from cluster_validation.checks import kserve, links, release
from tests.support.cluster.manifests import Check, Mutation, drop, put

ISVC = "InferenceService"

FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "no folder with the models": (
        kserve.check,
        put(ISVC, "recommender", "spec/predictor/containers/0/args", ["--release-dir=/mnt/release"]),
        r"spec\.predictor\.containers\[0\]\.args: --model-repository is missing: the chain has no Triton",
    ),
    "the models of another release": (
        release.check,
        put(ISVC, "recommender", "spec/predictor/initContainers/1/args/0", "s3://winnow-models/model_repository/2/"),
        r"recommender: the parts are pinned to different releases: the models in \S+ 2, the release in \S+ 1",
    ),
    "a predictor that is neither Triton nor the transformer": (
        kserve.check,
        drop(ISVC, "recommender", "spec/predictor/containers/0/command"),
        r"recommender: spec\.transformer: is missing: a chain is transformer and predictor",
    ),
    "a route to a transformer that the chain does not have": (
        release.check,
        put("HTTPRoute", "recommender", "spec/rules/0/backendRefs/0/name", "recommender-transformer"),
        "recommender-transformer is not a transformer: a canary is a whole chain",
    ),
    "pods that may not reach Redis": (
        links.check,
        put("NetworkPolicy", "to-redis", "spec/podSelector/matchExpressions/0/values", ["transformer"]),
        r"NetworkPolicy to-redis: spec\.podSelector: matches no pod",
    ),
}
"""Check, change and regular expression of the finding, by description."""
