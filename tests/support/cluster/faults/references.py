"""References between objects, and routes."""

from cluster_validation.checks import links, routes
from tests.support.cluster.manifests import Check, Mutation, arg, drop, put, remove

ISVC = "InferenceService"
TRANSFORMER = "spec/transformer/containers/0"
SIDECAR = "spec/transformer/containers/1"

FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "a port that no process opens": (
        links.check,
        put(ISVC, "recommender", f"{TRANSFORMER}/ports/0/containerPort", 8085),
        r"transformer: container kserve-container: port 8085 is declared, but its process does not open it",
    ),
    "a probe of a port that no process opens": (
        links.check,
        put("ServingRuntime", "winnow-triton", "spec/containers/0/readinessProbe/grpc/port", 9001),
        r"predictor: container kserve-container readinessProbe: probes port 9001",
    ),
    "a sidecar on another port than its probes": (
        links.check,
        arg("bloom-sidecar", "--health-port=8090", "--health-port=8091"),
        r"container bloom-sidecar: port 8090 is declared, but its process does not open it",
    ),
    "a service whose selector matches nothing": (
        links.check,
        put("Service", "recommender-triton", "spec/selector/component", "triton"),
        r"Service recommender-triton: spec\.selector: matches no pod",
    ),
    "a budget whose selector matches nothing": (
        links.check,
        put("PodDisruptionBudget", "recommender.predictor", "spec/selector/matchLabels/component", "server"),
        r"PodDisruptionBudget recommender\.predictor: spec\.selector: matches no pod",
    ),
    "a part without a budget": (
        links.check,
        remove("PodDisruptionBudget", "recommender.predictor"),
        "predictor: no PodDisruptionBudget selects its pods",
    ),
    "a network policy whose selector matches nothing": (
        links.check,
        put("NetworkPolicy", "predictor", "spec/podSelector/matchLabels/component", "triton"),
        r"NetworkPolicy predictor: spec\.podSelector: matches no pod",
    ),
    "a network policy that opens a port no pod has": (
        links.check,
        put("NetworkPolicy", "predictor", "spec/ingress/0/ports/0/port", "h2c"),
        r"NetworkPolicy predictor: spec\.ingress: .*predictor has no port h2c",
    ),
    "no default-deny": (links.check, remove("NetworkPolicy", "default-deny"), "no policy denies all traffic"),
    "a monitor of an undeclared port": (
        links.check,
        put("PodMonitor", "predictor", "spec/podMetricsEndpoints/0/port", "http-metrics"),
        r"PodMonitor predictor: spec\.podMetricsEndpoints: .* has no port http-metrics",
    ),
    "a topology spread that counts other pods": (
        links.check,
        put(
            ISVC,
            "recommender",
            "spec/predictor/topologySpreadConstraints/0/labelSelector/matchLabels/component",
            "transformer",
        ),
        "topologySpreadConstraints: its selector does not match its own pods",
    ),
    "a predictor address without a service": (
        links.check,
        arg("kserve-container", "recommender-triton:9000", "recommender-tritons:9000"),
        "--predictor_host: there is no service recommender-tritons",
    ),
    "a predictor address with a port the service lacks": (
        links.check,
        arg("kserve-container", "recommender-triton:9000", "recommender-triton:8001"),
        r"--predictor_host: service recommender-triton has no port 8001, only \[9000\]",
    ),
    "a missing key of a secret": (
        links.check,
        put(ISVC, "recommender", f"{TRANSFORMER}/env/0/valueFrom/secretKeyRef/key", "uri"),
        "REDIS_URL: no Secret redis has a key uri",
    ),
    "an image without a version": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/image", "winnow/serving:latest"),
        "container bloom-sidecar: image 'winnow/serving:latest' has no fixed version",
    ),
    "an image without a Dockerfile": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/image", "winnow/sidecar:0.2.0"),
        "image winnow/sidecar:0.2.0: there is no images/sidecar/Dockerfile",
    ),
    "a missing service account": (
        links.check,
        put(ISVC, "recommender", "spec/predictor/serviceAccountName", "triton"),
        "there is no ServiceAccount triton",
    ),
    "a mount of a missing volume": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/volumeMounts/0/name", "releases"),
        "container bloom-sidecar: mounts releases, but the pod has no such volume",
    ),
    "a route to a missing service": (
        routes.check,
        put("HTTPRoute", "recommender", "spec/rules/1/backendRefs/0/name", "recommender"),
        "there is no service recommender",
    ),
    "a gRPC route that no network policy lets in": (
        routes.check,
        drop("NetworkPolicy", "transformer", "spec/ingress/0/ports/1"),
        "GRPCRoute recommender: .*no NetworkPolicy admits envoy-gateway-system to recommender-transformer:8081",
    ),
    "a host name of both protocols": (
        routes.check,
        put("GRPCRoute", "recommender", "spec/hostnames", ["recommender.example.com"]),
        "GRPCRoute recommender: spec.hostnames: recommender.example.com overlaps with HTTPRoute recommender",
    ),
    "a wildcard that includes the other protocol's host name": (
        routes.check,
        put("HTTPRoute", "recommender", "spec/hostnames", ["*.example.com"]),
        r"spec.hostnames: grpc\.recommender\.example\.com overlaps with HTTPRoute \*\.example\.com",
    ),
    "an image in another account's registry": (
        links.check,
        put(
            ISVC, "recommender", f"{SIDECAR}/image", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/winnow/serving:0.2.0"
        ),
        "name it winnow/serving, which eks/set-names replaces",
    ),
    "an image with a tag that is not built": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/image", "winnow/serving:0.0.9"),
        r"image winnow/serving:0\.0\.9: `make images` tags 0\.2\.0",
    ),
    "a flag that a command does not have": (
        links.check,
        put("CronJob", "recommender-skew", "spec/jobTemplate/spec/template/spec/containers/0/args/0", "--release=/mnt"),
        "CronJob recommender-skew: container skew: winnow skew has no flag --release",
    ),
    "a flag that its program does not have": (
        links.check,
        arg("kserve-container", "--release-dir=/mnt/release", "--release-folder=/mnt/release"),
        "container kserve-container: recommender_transformer has no flag --release-folder",
    ),
    "a label that no pod has": (
        links.check,
        put(
            "PodMonitor",
            "transformer",
            "spec/podMetricsEndpoints/0/relabelings/0/sourceLabels/0",
            "__meta_kubernetes_pod_label_chain",
        ),
        "PodMonitor transformer: .*its pods have no label that Prometheus writes as chain",
    ),
}
