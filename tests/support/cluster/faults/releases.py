"""Chains, canaries, releases, GPUs, and the export of events."""

from cluster_validation.checks import feedback, gpu, release
from tests.support.cluster.manifests import Check, Mutation, drop, put, remove

ISVC = "InferenceService"
TRANSFORMER = "spec/transformer/containers/0"
CANARY = "recommender-canary"


FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "a chain without a gRPC route": (
        release.check,
        remove("GRPCRoute", "recommender"),
        "InferenceService recommender: no GRPCRoute leads to its transformer",
    ),
    "GPUs without their configuration": (
        gpu.check,
        put(ISVC, "recommender", "spec/predictor/model/args", []),
        "predictor: args: --model-config-name=gpu is missing: Triton would not use TensorRT",
    ),
    "no volume for TensorRT's engines": (
        gpu.check,
        put(ISVC, "recommender", "spec/predictor/model/volumeMounts/0/readOnly", True),
        "predictor: volumeMounts: no writable volume is mounted at /engines",
    ),
    "GPU configurations without a GPU": (
        gpu.check,
        drop(ISVC, "recommender", "spec/predictor/model/resources/limits/nvidia.com~1gpu"),
        "--model-config-name=gpu without a GPU: Triton would not start",
    ),
    "an address that is a prefix of others": (
        release.check,
        put(ISVC, "recommender", "spec/predictor/initContainers/0/args/0", "s3://winnow-models/model_repository/1"),
        "container storage-initializer: s3://winnow-models/model_repository/1 must end with a slash",
    ),
    "a model's address that is a prefix of others": (
        release.check,
        put(ISVC, "recommender", "spec/predictor/model/storageUri", "s3://winnow-models/model_repository/1"),
        "storageUri: s3://winnow-models/model_repository/1 must end with a slash",
    ),
    "a Job whose name does not contain its tag": (
        release.check,
        put("Job", "recommender-publish-0-2-0-release-1", "metadata/name", "recommender-publish-release-1"),
        "Job recommender-publish-release-1: metadata.name: does not contain 0-2-0",
    ),
    "no export of events": (
        feedback.check,
        remove("CronJob", "events-export"),
        "CronJobs: events are exported to nowhere",
    ),
    "a suspended export": (
        feedback.check,
        put("CronJob", "events-export", "spec/suspend", True),
        "CronJob events-export: spec.suspend: a suspended CronJob exports no events",
    ),
    "a rebuild that reads other exports": (
        feedback.check,
        put(
            "CronJob",
            "recommender-filters-rebuild",
            "spec/jobTemplate/spec/template/spec/containers/0/args/1",
            "--exports=s3://winnow-features/events",
        ),
        "--exports=s3://winnow-features/events: events are exported elsewhere",
    ),
    "a rebuild of another release": (
        feedback.check,
        put(
            "CronJob",
            "recommender-filters-rebuild",
            "spec/jobTemplate/spec/template/spec/initContainers/0/args/0",
            "s3://winnow-models/releases/2/",
        ),
        "CronJob recommender-filters-rebuild: initContainers: fetches release 2, but its chain serves 1",
    ),
    "a canary that moves only the predictor": (
        release.check,
        put(ISVC, CANARY, "spec/transformer/initContainers/0/args/0", "s3://winnow-models/releases/1/"),
        r"recommender-canary: the parts are pinned to different releases: .*storageUri 2, .*initContainers 1",
    ),
    "a route straight to a predictor": (
        release.check,
        put("HTTPRoute", "recommender", "spec/rules/0/backendRefs/0/name", "recommender-canary-predictor"),
        "recommender-canary-predictor is not a transformer: a canary is a whole chain",
    ),
    "a canary that calls the stable chain's predictor": (
        release.check,
        put(ISVC, CANARY, f"{TRANSFORMER}/args/1", "recommender-triton:9000"),
        "calls recommender-triton, which is not the predictor of its own chain",
    ),
    "a canary by weights": (
        release.check,
        put(
            "HTTPRoute",
            "recommender",
            "spec/rules/1/backendRefs",
            [{"name": f"{name}-transformer", "port": 80, "weight": 1} for name in ("recommender", CANARY)],
        ),
        "splits requests between chains at random, so a user changes sides",
    ),
    "a release without a Job that publishes it": (
        release.check,
        remove("Job", "recommender-canary-publish-0-2-0-release-2"),
        "no Job publishes release 2",
    ),
}
