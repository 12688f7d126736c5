"""Pods that a restricted namespace refuses."""

from cluster_validation.policies import pods
from tests.support.cluster.manifests import Check, Mutation, drop, put

ISVC = "InferenceService"
TRANSFORMER = "spec/transformer/containers/0"
SIDECAR = "spec/transformer/containers/1"


FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "a root container": (
        pods.check,
        put(ISVC, "recommender", "spec/transformer/securityContext/runAsUser", 0),
        r"transformer: container bloom-sidecar: runs as root",
    ),
    "a writable root file system": (
        pods.check,
        put("ServingRuntime", "winnow-triton", "spec/containers/0/securityContext/readOnlyRootFilesystem", False),
        "predictor: container kserve-container: readOnlyRootFilesystem must be true",
    ),
    "an added capability": (
        pods.check,
        put(
            ISVC, "recommender", f"{TRANSFORMER}/securityContext/capabilities", {"drop": ["ALL"], "add": ["SYS_PTRACE"]}
        ),
        "must drop ALL capabilities and add none",
    ),
    "no seccomp profile": (
        pods.check,
        drop(ISVC, "recommender", "spec/predictor/securityContext/seccompProfile"),
        "predictor: container kserve-container: seccompProfile must be RuntimeDefault",
    ),
    "a missing limit": (
        pods.check,
        drop(ISVC, "recommender", f"{SIDECAR}/resources/limits/memory"),
        r"container bloom-sidecar: resources\.limits has no memory",
    ),
    "a missing probe": (
        pods.check,
        drop(ISVC, "recommender", f"{SIDECAR}/livenessProbe"),
        "container bloom-sidecar: has no livenessProbe",
    ),
}
