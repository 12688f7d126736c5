"""Fields and kinds that a cluster does not know, or that KServe ignores."""

from cluster_validation.checks import kserve
from cluster_validation.schemas import check as schemas
from tests.support.cluster.manifests import Check, Mutation, arg, drop, put

ISVC = "InferenceService"
CANARY = "recommender-canary"

FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "a misspelt field of a custom kind": (
        schemas.check,
        put(ISVC, "recommender", "spec/transformer/minReplica", 2),
        r"InferenceService recommender: spec\.transformer: .*'minReplica' was unexpected",
    ),
    "a misspelt field of a core kind": (
        schemas.check,
        put("PodDisruptionBudget", "recommender.transformer", "spec/maxUnavailible", 1),
        r"PodDisruptionBudget recommender\.transformer: spec: .*'maxUnavailible' was unexpected",
    ),
    "a wrong type": (
        schemas.check,
        put(ISVC, "recommender", "spec/transformer/maxReplicas", "20"),
        r"spec\.transformer\.maxReplicas: '20' is not of type 'integer'",
    ),
    "a value that is not among those allowed": (
        schemas.check,
        put(ISVC, "recommender", "spec/predictor/autoScaling/metrics/1/external/metric/backend", "promethius"),
        r"backend: 'promethius' is not one of",
    ),
    "a required field that is missing": (
        schemas.check,
        drop("PodMonitor", "transformer", "spec/selector"),
        r"PodMonitor transformer: spec: 'selector' is a required property",
    ),
    "a CEL rule that does not hold": (
        schemas.check,
        put("HTTPRoute", "recommender", "spec/rules/0/matches/0/path/value", "v1/models"),
        r"HTTPRoute recommender: spec\.rules\[0\].*: value must be an absolute path and start with '/'",
    ),
    "a kind that is not installed": (
        schemas.check,
        put("PodMonitor", "predictor", "apiVersion", "monitoring.coreos.com/v2"),
        "no installed kind is monitoring.coreos.com/v2 PodMonitor",
    ),
    "session persistence, which only the experimental channel has": (
        schemas.check,
        put("HTTPRoute", "recommender", "spec/rules/0/sessionPersistence", {"sessionName": "user"}),
        r"HTTPRoute recommender: spec\.rules\[0\]: .*'sessionPersistence' was unexpected",
    ),
    "a canary without a transformer": (
        kserve.check,
        drop(ISVC, CANARY, "spec/transformer"),
        r"recommender-canary: spec\.transformer: is missing: a chain is transformer and predictor",
    ),
    "a canary percentage, which Standard mode ignores": (
        kserve.check,
        put(ISVC, "recommender", "spec/predictor/canaryTrafficPercent", 10),
        "canaryTrafficPercent: is ignored in Standard mode",
    ),
    "a missing storage initializer, which KServe would inject": (
        kserve.check,
        drop(ISVC, "recommender", "spec/predictor/initContainers"),
        "KServe injects a storage-initializer without a security context, which restricted namespaces refuse",
    ),
    "the protocol flag that is ignored": (
        kserve.check,
        arg("kserve-container", "--predictor_protocol=grpc-v2", "--protocol=grpc-v2"),
        "--protocol is read and ignored",
    ),
}
