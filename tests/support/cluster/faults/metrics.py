"""Triggers, rules and dashboards."""

from cluster_validation.manifests.objects import Objects
from cluster_validation.metrics import check as metrics
from cluster_validation.metrics import rules
from tests.support.cluster.manifests import Check, Mutation, at, put

ISVC = "InferenceService"


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


FAULTS: dict[str, tuple[Check, Mutation, str]] = {
    "a metric type that no installed chart serves": (
        metrics.check,
        lambda objects: objects.outside["metric_sources"].update(Resource="metrics-servers"),
        "no chart in eks/charts.txt serves metrics of type Resource",
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
    "a mean that KEDA divides by the replicas": (
        metrics.check,
        query("predictor", "mean_times_replicas", "mean"),
        "KEDA divides the query's result by the replicas",
    ),
    "a trigger on another chain's metric": (
        metrics.check,
        query("transformer", 'chain="recommender"', 'chain="recommender-canary"'),
        "scales by another chain's metric",
    ),
    "a trigger on a metric that does not exist": (
        metrics.check,
        query("transformer", "winnow:request_seconds:p99_times_replicas", "winnow_request_duration_seconds"),
        "no process exposes the metric winnow_request_duration_seconds",
    ),
    "an alert on a metric that does not exist": (
        metrics.check,
        expr("WinnowSidecarBehind", "winnow_sidecar_behind_seconds", "winnow_sidecar_delay_seconds"),
        "WinnowSidecarBehind: no process exposes the metric winnow_sidecar_delay_seconds",
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
        "serving.json 'Requests per batch': no process exposes the metric nv_inference_batches",
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
        "serverAddress 'http://prometheus.monitoring:9090' is not listed in outside.yaml",
    ),
    "an alert that never fires": (
        rules.check,
        expr("WinnowDegraded", "> 0.05", "> 1"),
        r"rules\.yaml: (?s:.*)FAILED",
    ),
    "an alert that always fires": (
        rules.check,
        expr("WinnowDegraded", "> 0.05", ">= 0"),
        r"rules\.yaml: (?s:.*)FAILED",
    ),
}
