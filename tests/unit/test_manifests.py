"""The manifests are right, and what would be wrong with them is caught and named."""

import copy
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from validation import feedback, gpu, links, metrics, release, routes, rules, schemas, security
from validation.__main__ import CHECKS
from validation.objects import Objects, ToolMissing, overlays, render
from validation.promql import Units, expressions, watched
from validation.routes import backends
from validation.workloads import kserve_traps, opened
from winnow.buckets import BUCKETS, HEADER, bucket_of

Mutation = Callable[[Objects], None]


@cache
def rendered(overlay: str) -> Objects:
    try:
        return render(overlay)
    except ToolMissing as missing:
        pytest.skip(str(missing))


def changed(overlay: str, mutate: Mutation) -> Objects:
    objects = copy.deepcopy(rendered(overlay))
    mutate(objects)
    return Objects(objects.all, objects.outside)  # anew, as what it has found is kept


def found(objects: Objects, check: Callable[[Objects], Any]) -> list[str]:
    try:
        return [str(finding) for finding in check(objects)]
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("overlay", overlays())
def test_the_manifests_are_right(overlay, check):
    assert found(rendered(overlay), CHECKS[check]) == []


def at(objects: Objects, kind: str, name: str, path: str) -> Any:
    """What is at a path in one object; numbers are positions, and ~1 is a slash in a name."""
    value: Any = objects.find(kind, name)
    for step in filter(None, path.split("/")):
        value = value[_step(step)]
    return value


def _step(written: str) -> int | str:
    return int(written) if written.isdecimal() else written.replace("~1", "/")


def put(kind: str, name: str, path: str, value: Any) -> Mutation:
    folder, _, field = path.rpartition("/")

    def mutate(objects: Objects) -> None:
        holder = at(objects, kind, name, folder)
        holder[_step(field)] = value

    return mutate


def drop(kind: str, name: str, path: str) -> Mutation:
    folder, _, field = path.rpartition("/")

    def mutate(objects: Objects) -> None:
        holder = at(objects, kind, name, folder)
        del holder[_step(field)]

    return mutate


def remove(kind: str, name: str) -> Mutation:
    return lambda objects: objects.all.remove(objects.find(kind, name))


def arg(container: str, old: str, new: str) -> Mutation:
    """Replace an argument of a container of the transformer pod, or of the runtime's."""

    def mutate(objects: Objects) -> None:
        kind, name, path = (
            ("ServingRuntime", "winnow-triton", "spec/containers")
            if container == "triton"
            else ("InferenceService", "recommender", "spec/transformer/containers")
        )
        args = at(objects, kind, name, path)[1 if container == "bloom-sidecar" else 0]["args"]
        args[args.index(old)] = new

    return mutate


def query(part: str, old: str, new: str) -> Mutation:
    def mutate(objects: Objects) -> None:
        metric = at(objects, "InferenceService", "recommender", f"spec/{part}/autoScaling/metrics/1/external/metric")
        assert old in metric["query"]
        metric["query"] = metric["query"].replace(old, new)

    return mutate


def expr(rule: str, old: str, new: str) -> Mutation:
    """Replace a piece of a rule's expression."""

    def mutate(objects: Objects) -> None:
        for each in objects.of("PrometheusRule"):
            for group in each["spec"]["groups"]:
                for one in group["rules"]:
                    if rule in (one.get("alert"), one.get("record")):
                        assert old in one["expr"]
                        one["expr"] = one["expr"].replace(old, new)
                        return
        raise AssertionError(rule)

    return mutate


def panel(old: str, new: str) -> Mutation:
    def mutate(objects: Objects) -> None:
        files = at(objects, "ConfigMap", "winnow-dashboards", "data")
        assert old in files["serving.json"]
        files["serving.json"] = files["serving.json"].replace(old, new)

    return mutate


ISVC, TRANSFORMER, SIDECAR = "InferenceService", "spec/transformer/containers/0", "spec/transformer/containers/1"
CANARY = "recommender-canary"

FAULTS: dict[str, tuple[Callable[[Objects], Any], Mutation, str]] = {
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
    "a port that nobody opens": (
        links.check,
        put(ISVC, "recommender", f"{TRANSFORMER}/ports/0/containerPort", 8085),
        r"transformer: container kserve-container: port 8085 is declared, but its process does not open it",
    ),
    "a probe of a port that nobody opens": (
        links.check,
        put("ServingRuntime", "winnow-triton", "spec/containers/0/readinessProbe/grpc/port", 9001),
        r"predictor: container kserve-container readinessProbe: asks port 9001",
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
    "a network policy that opens a port nobody has": (
        links.check,
        put("NetworkPolicy", "predictor", "spec/ingress/0/ports/0/port", "h2c"),
        r"NetworkPolicy predictor: spec\.ingress: .*predictor has no port h2c",
    ),
    "no default-deny": (links.check, remove("NetworkPolicy", "default-deny"), "there is none that denies everything"),
    "a monitor of a port that nobody names": (
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
    "a predictor address that is no service": (
        links.check,
        arg("kserve-container", "recommender-triton:9000", "recommender-tritons:9000"),
        "--predictor_host: there is no service recommender-tritons",
    ),
    "a predictor address with a port the service lacks": (
        links.check,
        arg("kserve-container", "recommender-triton:9000", "recommender-triton:8001"),
        r"--predictor_host: service recommender-triton has no port 8001, only \[9000\]",
    ),
    "a secret that is not there": (
        links.check,
        put(ISVC, "recommender", f"{TRANSFORMER}/env/0/valueFrom/secretKeyRef/key", "uri"),
        "REDIS_URL: no Secret redis has a key uri",
    ),
    "an image without a version": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/image", "winnow/serving:latest"),
        "container bloom-sidecar: image 'winnow/serving:latest' names no fixed version",
    ),
    "an image that nobody builds": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/image", "winnow/sidecar:0.2.0"),
        "image winnow/sidecar:0.2.0: there is no images/sidecar/Dockerfile",
    ),
    "an account that is not there": (
        links.check,
        put(ISVC, "recommender", "spec/predictor/serviceAccountName", "triton"),
        "there is no ServiceAccount triton",
    ),
    "a mount of a volume that is not there": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/volumeMounts/0/name", "releases"),
        "container bloom-sidecar: mounts releases, which is no volume of the pod",
    ),
    "a route to a service that is not there": (
        routes.check,
        put("HTTPRoute", "recommender", "spec/rules/1/backendRefs/0/name", "recommender"),
        "there is no service recommender",
    ),
    "a gRPC route that no network policy lets in": (
        routes.check,
        drop("NetworkPolicy", "transformer", "spec/ingress/0/ports/1"),
        "GRPCRoute recommender: .*no NetworkPolicy lets envoy-gateway-system in to recommender-transformer:8081",
    ),
    "a host name of both protocols, which the gateway refuses": (
        routes.check,
        put("GRPCRoute", "recommender", "spec/hostnames", ["recommender.example.com"]),
        "GRPCRoute recommender: spec.hostnames: recommender.example.com meets HTTPRoute recommender",
    ),
    "a wildcard that takes in the other protocol's host name": (
        routes.check,
        put("HTTPRoute", "recommender", "spec/hostnames", ["*.example.com"]),
        r"spec.hostnames: grpc\.recommender\.example\.com meets HTTPRoute \*\.example\.com",
    ),
    "a chain that gRPC does not reach": (
        release.check,
        remove("GRPCRoute", "recommender"),
        "InferenceService recommender: no GRPCRoute leads to its transformer",
    ),
    "GPUs without their configuration": (
        gpu.check,
        put(ISVC, "recommender", "spec/predictor/model/args", []),
        "predictor: args: --model-config-name=gpu is missing: TensorRT would never be used",
    ),
    "no place for TensorRT's engines": (
        gpu.check,
        put(ISVC, "recommender", "spec/predictor/model/volumeMounts/0/readOnly", True),
        "predictor: volumeMounts: nothing that can be written is mounted at /engines",
    ),
    "GPU configurations without a GPU": (
        gpu.check,
        drop(ISVC, "recommender", "spec/predictor/model/resources/limits/nvidia.com~1gpu"),
        "--model-config-name=gpu without a GPU: Triton would not start",
    ),
    "an address that is also the beginning of others": (
        release.check,
        put(ISVC, "recommender", "spec/predictor/initContainers/0/args/0", "s3://winnow-models/model_repository/1"),
        "container storage-initializer: s3://winnow-models/model_repository/1 must end with a slash",
    ),
    "a model's address that is also the beginning of others": (
        release.check,
        put(ISVC, "recommender", "spec/predictor/model/storageUri", "s3://winnow-models/model_repository/1"),
        "storageUri: s3://winnow-models/model_repository/1 must end with a slash",
    ),
    "a Job whose name outlives its image": (
        release.check,
        put("Job", "recommender-publish-0-2-0-release-1", "metadata/name", "recommender-publish-release-1"),
        "Job recommender-publish-release-1: metadata.name: does not say 0-2-0: with another one it is refused",
    ),
    "an image of another account's": (
        links.check,
        put(
            ISVC, "recommender", f"{SIDECAR}/image", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/winnow/serving:0.2.0"
        ),
        "eks/ours could not make it this account's",
    ),
    "an image under another tag than it is built with": (
        links.check,
        put(ISVC, "recommender", f"{SIDECAR}/image", "winnow/serving:0.0.9"),
        r"image winnow/serving:0\.0\.9: `make images` tags 0\.1\.0",
    ),
    "no export of events": (
        feedback.check,
        remove("CronJob", "events-export"),
        "CronJobs: events are exported to nowhere",
    ),
    "an export that waits": (
        feedback.check,
        put("CronJob", "events-export", "spec/suspend", True),
        "CronJob events-export: spec.suspend: nothing exports events",
    ),
    "a rebuild that looks for exports elsewhere": (
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
        "CronJob recommender-filters-rebuild: initContainers: is of release 2, its chain of 1",
    ),
    "a flag that a command does not have": (
        links.check,
        put("CronJob", "recommender-skew", "spec/jobTemplate/spec/template/spec/containers/0/args/0", "--release=/mnt"),
        "CronJob recommender-skew: container skew: winnow skew has no flag --release",
    ),
    "a metric that nothing installed serves": (
        metrics.check,
        lambda objects: objects.outside["metric_sources"].update(Resource="metrics-servers"),
        "nothing in eks/charts.txt serves metrics of type Resource: an HPA would fail and stay up",
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
        "PodMonitor transformer: .*its pods have no label that is chain there",
    ),
    "a root container": (
        security.check,
        put(ISVC, "recommender", "spec/transformer/securityContext/runAsUser", 0),
        r"transformer: container bloom-sidecar: runs as root",
    ),
    "a root that can be written": (
        security.check,
        put("ServingRuntime", "winnow-triton", "spec/containers/0/securityContext/readOnlyRootFilesystem", False),
        "predictor: container kserve-container: readOnlyRootFilesystem must be true",
    ),
    "a capability": (
        security.check,
        put(
            ISVC, "recommender", f"{TRANSFORMER}/securityContext/capabilities", {"drop": ["ALL"], "add": ["SYS_PTRACE"]}
        ),
        "must drop ALL capabilities and add none",
    ),
    "no seccomp profile": (
        security.check,
        drop(ISVC, "recommender", "spec/predictor/securityContext/seccompProfile"),
        "predictor: container kserve-container: seccompProfile must be RuntimeDefault",
    ),
    "a missing limit": (
        security.check,
        drop(ISVC, "recommender", f"{SIDECAR}/resources/limits/memory"),
        r"container bloom-sidecar: resources\.limits names no memory",
    ),
    "a missing probe": (
        security.check,
        drop(ISVC, "recommender", f"{SIDECAR}/livenessProbe"),
        "container bloom-sidecar: has no livenessProbe",
    ),
    "a canary that moves only the predictor": (
        release.check,
        put(ISVC, CANARY, "spec/transformer/initContainers/0/args/0", "s3://winnow-models/releases/1/"),
        r"recommender-canary: the parts are pinned to different releases: .*storageUri 2, .*initContainers 1",
    ),
    "a canary without a transformer": (
        kserve_traps,
        drop(ISVC, CANARY, "spec/transformer"),
        r"recommender-canary: spec\.transformer: is missing: a chain is transformer and predictor",
    ),
    "a route straight to a predictor": (
        release.check,
        put("HTTPRoute", "recommender", "spec/rules/0/backendRefs/0/name", "recommender-canary-predictor"),
        "recommender-canary-predictor is no transformer: a canary is a whole chain",
    ),
    "a canary that asks the stable chain's predictor": (
        release.check,
        put(ISVC, CANARY, f"{TRANSFORMER}/args/1", "recommender-triton:9000"),
        "asks recommender-triton, which is not the predictor of its own chain",
    ),
    "a canary by weights": (
        release.check,
        put(
            "HTTPRoute",
            "recommender",
            "spec/rules/1/backendRefs",
            [{"name": f"{name}-transformer", "port": 80, "weight": 1} for name in ("recommender", CANARY)],
        ),
        "draws between chains for every request, so a user changes sides",
    ),
    "a release that nobody publishes": (
        release.check,
        remove("Job", "recommender-canary-publish-0-2-0-release-2"),
        "no Job publishes release 2",
    ),
    "a canary percentage, which Standard mode ignores": (
        kserve_traps,
        put(ISVC, "recommender", "spec/predictor/canaryTrafficPercent", 10),
        "canaryTrafficPercent: is ignored in Standard mode",
    ),
    "an injected container that the namespace refuses": (
        kserve_traps,
        drop(ISVC, "recommender", "spec/predictor/initContainers"),
        "KServe injects a storage-initializer without a security context, which restricted namespaces refuse",
    ),
    "the protocol flag that is ignored": (
        kserve_traps,
        arg("kserve-container", "--predictor_protocol=grpc-v2", "--protocol=grpc-v2"),
        "--protocol is read and ignored",
    ),
    "a threshold in milli-units": (
        metrics.check,
        put(ISVC, "recommender", "spec/transformer/autoScaling/metrics/1/external/target/value", "200m"),
        r"spec\.transformer\.autoScaling\.metrics\[1\]: threshold '200m': write a plain number, in seconds",
    ),
    "a threshold in milliseconds on a metric in seconds": (
        metrics.check,
        put(ISVC, "recommender", "spec/transformer/autoScaling/metrics/1/external/target/value", "80"),
        "threshold 80 seconds is not plausible",
    ),
    "a threshold in milliseconds on a metric in microseconds": (
        metrics.check,
        put(ISVC, "recommender", "spec/predictor/autoScaling/metrics/1/external/target/value", "3"),
        "threshold 3 microseconds is not plausible",
    ),
    "a share on a metric in microseconds a second": (
        metrics.check,
        put(ISVC, "recommender", "spec/predictor/autoScaling/metrics/2/external/target/value", "0.55"),
        r"metrics\[2\]: threshold 0\.55 microseconds seconds\^-1 is not plausible",
    ),
    "a threshold in thousandths of a request": (
        metrics.check,
        put(ISVC, "recommender", "spec/transformer/autoScaling/metrics/2/external/target/value", "4000"),
        "threshold 4000 a count is not plausible",
    ),
    "a mean that KEDA divides once more": (
        metrics.check,
        query("predictor", "mean_times_replicas", "mean"),
        "KEDA divides what KServe asks for by the replicas",
    ),
    "a trigger that looks at another chain": (
        metrics.check,
        query("transformer", 'chain="recommender"', 'chain="recommender-canary"'),
        "scales by another chain's metric",
    ),
    "a trigger on a metric that does not exist": (
        metrics.check,
        query("transformer", "winnow:request_seconds:p99_times_replicas", "winnow_request_duration_seconds"),
        "winnow_request_duration_seconds is a metric that nothing exposes",
    ),
    "an alert on a metric that does not exist": (
        metrics.check,
        expr("WinnowSidecarBehind", "winnow_sidecar_behind_seconds", "winnow_sidecar_delay_seconds"),
        "WinnowSidecarBehind: winnow_sidecar_delay_seconds is a metric that nothing exposes",
    ),
    "an alert in milliseconds on a metric in microseconds": (
        metrics.check,
        expr("WinnowTritonQueue", "20000", "20"),
        "WinnowTritonQueue: compares with 20 microseconds, which is not plausible",
    ),
    "an alert that compares seconds with microseconds": (
        metrics.check,
        expr(
            "WinnowCanaryWorse", '1.3 * winnow:request_seconds:p99{chain="recommender"}', "winnow:triton_queue_us:mean"
        ),
        "WinnowCanaryWorse: > between seconds and microseconds",
    ),
    "a panel on a metric that does not exist": (
        metrics.check,
        panel("nv_inference_exec_count", "nv_inference_batches"),
        "serving.json 'Requests joined per batch': nv_inference_batches is a metric that nothing exposes",
    ),
    "a query that is not PromQL": (
        metrics.check,
        expr("winnow:requests:rate", "[2m]))", "[2m])"),
        "winnow:requests:rate: is not PromQL",
    ),
    "a Prometheus at another address": (
        metrics.check,
        put(
            ISVC,
            "recommender",
            "spec/predictor/autoScaling/metrics/1/external/metric/serverAddress",
            "http://prometheus.monitoring:9090",
        ),
        "serverAddress 'http://prometheus.monitoring:9090' is not named in outside.yaml",
    ),
    "an alert that never fires": (
        rules.check,
        expr("WinnowDegraded", "> 0.05", "> 1"),
        r"rules\.yaml: (?s:.*)FAILED",
    ),
    "an alert that fires when all is well": (
        rules.check,
        expr("WinnowDegraded", "> 0.05", ">= 0"),
        r"rules\.yaml: (?s:.*)FAILED",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_named(fault):
    check, mutate, message = FAULTS[fault]
    said = found(changed("canary", mutate), check)
    assert any(re.search(message, each) for each in said), said


def test_the_configuration_for_gpus_keeps_its_engines_where_the_check_looks():
    source = (Path(gpu.__file__).parents[1] / "export" / "triton" / "gpu_config.py").read_text()
    assert f'ENGINES = "{gpu.ENGINES}"' in source


def test_faults_are_planted_in_every_check():
    assert len(FAULTS) >= 20
    assert {check for check, _, _ in FAULTS.values()} == set(CHECKS.values())


def test_every_alert_is_seen_to_fire():
    alerts = {each.where for each in expressions(rendered("gpu")) if each.role == "alert"}
    assert alerts
    tests = rules.TESTS.read_text()
    assert {alert for alert in alerts if alert not in tests} == set()


def test_units_follow_from_what_is_done_with_a_metric():
    units = Units({"queue_us": "microseconds", "asked_total": "", "took_seconds_bucket": "seconds"}, {})
    spent = "sum by (m) (rate(queue_us[1m])) / sum by (m) (rate(asked_total[1m]))"
    assert units.of(spent) == Counter(microseconds=1)
    assert units.of(f"3 * max({spent}) > 5") == Counter(microseconds=1)
    assert units.of("rate(asked_total[1m])") == Counter(seconds=-1)
    assert units.of("histogram_quantile(0.99, sum by (le) (rate(took_seconds_bucket[1m])))") == Counter(seconds=1)
    assert units.of('count(queue_us{m="x"})') == Counter()


def test_what_an_alert_looks_at_is_told_apart_from_its_threshold():
    assert watched("a > 14.4 * 0.01 and sum(b) >= on () 2 * c") == ["a", "sum(b)", "2 * c"]
    assert watched("absent(a) or (b unless c)") == ["a", "b", "c"]
    assert watched("rate(a[5m]) / (b > 0) > 3") == ["rate(a[5m]) / (b > 0)"]
    for each in expressions(rendered("gpu")):
        assert all(watched(each.text)), each


def test_ports_are_read_from_the_command_line():
    assert opened({"command": ["python", "-m", "bloom_sidecar"], "args": []}) == {8090}
    assert opened({"args": ["tritonserver", "--grpc-port=9000", "--allow-http=false"]}) == {9000, 8002}


# The canary's route.

CALLS = ("/v1/models/recommender:predict", "/v2/models/recommender/infer", "/v1/models/events:predict")
GRPC = "/inference.GRPCInferenceService"
INFER = f"{GRPC}/ModelInfer"


def side(route: dict[str, Any], path: str, user_id: str) -> str:
    weights = backends(route, path, {HEADER.upper(): str(bucket_of(user_id))})
    assert len(weights) == 1, "one backend, or the gateway draws"
    return next(iter(weights))


def test_a_user_stays_on_one_side_of_the_canary_whatever_is_called():
    http, grpc = (rendered("canary").find(kind, "recommender") for kind in ("HTTPRoute", "GRPCRoute"))
    calls = [*((http, path) for path in CALLS), (grpc, INFER)]
    sides = {user: {side(*call, user) for call in calls} for user in (f"u{n:05d}" for n in range(4000))}
    assert all(len(each) == 1 for each in sides.values())
    share = sum(each == {"recommender-canary-transformer"} for each in sides.values()) / len(sides)
    assert 0.04 < share < 0.06


def test_growing_a_canary_moves_nobody_back():
    def with_buckets(count: int) -> dict[str, Any]:
        route = copy.deepcopy(rendered("canary").find("HTTPRoute", "recommender"))
        rule = route["spec"]["rules"][0]
        rule["matches"] = [
            {"path": match["path"], "headers": [{"type": "Exact", "name": HEADER, "value": str(bucket)}]}
            for match in rule["matches"]
            for bucket in range(count)
        ]
        return route

    before: set[str] = set()
    for count in (1, 5, 10, BUCKETS):
        route = with_buckets(count)
        assert found(changed("canary", put("HTTPRoute", "recommender", "spec", route["spec"])), schemas.check) == []
        moved = {u for u in (f"u{n}" for n in range(500)) if side(route, CALLS[0], u).startswith("recommender-canary")}
        assert before <= moved
        before = moved
    assert len(before) == 500


def test_who_says_no_bucket_gets_the_stable_chain():
    route = rendered("canary").find("HTTPRoute", "recommender")
    for headers in ({}, {HEADER: "20"}, {HEADER: "x"}):
        assert backends(route, CALLS[0], headers) == {"recommender-transformer": 1}


@pytest.mark.parametrize("overlay", overlays())
def test_the_outside_calls_models_over_grpc_and_nothing_else(overlay):
    route = rendered(overlay).find("GRPCRoute", "recommender")
    for method in ("ModelInfer", "ModelReady", "ModelMetadata"):
        assert backends(route, f"{GRPC}/{method}") == {"recommender-transformer": 1}
    for path in (f"{GRPC}/RepositoryModelUnload", f"{GRPC}/ServerMetadata", "/grpc.health.v1.Health/Check", "/"):
        assert backends(route, path) == {}


@pytest.mark.parametrize(
    "path", ["/metrics", "/v2/repository/models/recommender/unload", "/v1/models2", "/", "/openapi.json"]
)
@pytest.mark.parametrize("overlay", overlays())
def test_the_outside_reaches_the_models_and_nothing_else(overlay, path):
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
    asked = {
        ("/a/b", "POST", ""): "exact",
        ("/a/b/c", "POST", "1"): "longer",
        ("/a/x", "POST", "1"): "posted",
        ("/a/x", "GET", "1"): "header",
        ("/ab", "POST", "1"): "root",
    }
    for (path, method, header), name in asked.items():
        assert backends(route, path, {"x": header}, method) == {name: 1}
    with pytest.raises(NotImplementedError, match="each gateway understands as it likes"):
        backends(
            {
                "kind": "HTTPRoute",
                "spec": {"rules": [rule("r", {"path": {"type": "RegularExpression", "value": ".*"}})]},
            },
            "/",
        )


def test_what_is_not_here_is_said_aloud(monkeypatch):
    objects = rendered("gpu")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolMissing, match="promtool is not on the PATH"):
        list(rules.check(objects))
