"""KServe's controller creates the workloads, services and triggers that the checks derive from InferenceServices."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster_validation.api_server.kserve import kserve
from cluster_validation.api_server.server import ApiServer, api_server
from cluster_validation.manifests.objects import Object, Objects, ToolMissing, render
from cluster_validation.manifests.selectors import selects
from cluster_validation.manifests.workloads import Workload, services, workloads
from cluster_validation.metrics.expressions import expressions

OVERLAYS = ("canary", "small")  # with Triton, and with the models in the transformer
KINDS = "deployment,service,scaledobject,httproute,horizontalpodautoscaler"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
FIELDS = ("image", "ports", "securityContext", "volumeMounts", "resources", "lifecycle", *PROBES)
TIMEOUT_S = 60


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(overlay: str) -> Iterator[ApiServer]:
    try:
        with api_server() as running, kserve(running):
            objects = render(overlay)
            running.apply(objects.of("Namespace"))
            running.apply(objects.all)
            yield running
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def applied(server: ApiServer, overlay: str) -> Objects:
    return render(overlay)


@pytest.fixture(scope="module")
def created(server: ApiServer, applied: Objects) -> Objects:
    """The objects on the server once every part of every chain has its ScaledObject, which KServe creates last."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        answer = json.loads(server.kubectl("get", KINDS, "--namespace=winnow", "--output=json"))
        objects = Objects(answer["items"], {})
        if len(list(objects.of("ScaledObject"))) == len(parts(applied)) and all(map(is_complete, objects.all)):
            return objects
        assert time.monotonic() < deadline, [each["metadata"]["name"] for each in objects.all]
        time.sleep(0.2)


def is_complete(each: Object) -> bool:
    """KServe creates a ScaledObject with defaults and adds its triggers afterwards."""
    return each["kind"] != "ScaledObject" or len(each["spec"]["triggers"]) > 1


def parts(applied: Objects) -> list[Workload]:
    return [each for each in workloads(applied) if each.part]


def template(created: Objects, part: Workload) -> Any:
    deployment = created.find("Deployment", part.name)
    assert deployment is not None
    return deployment["spec"]["template"]


def test_every_part_of_every_chain_has_a_deployment(applied, created):
    own = {each["metadata"]["name"] for each in applied.of("Deployment")}
    assert {each["metadata"]["name"] for each in created.of("Deployment")} == own | {
        each.name for each in parts(applied)
    }


def test_pods_equal_the_checked_pods(applied, created):
    for part in parts(applied):
        spec = template(created, part)["spec"]
        for kind in ("initContainers", "containers"):
            checked, real = part.pod.get(kind, []), spec.get(kind, [])
            assert [each["name"] for each in real] == [each["name"] for each in checked]
            for one, other in zip(real, checked, strict=True):
                arguments, own = one.get("args", []), other.get("args", [])
                # KServe appends the model's name in the first container, and no other argument.
                assert arguments[: len(own)] == own
                assert arguments[len(own) :] in ([], ["--model_name", part.owner["metadata"]["name"]])
                for field in FIELDS:
                    assert covers(one.get(field), other.get(field)), (part.name, one["name"], field)
        for field in ("securityContext", "serviceAccountName", "automountServiceAccountToken", "volumes"):
            assert covers(spec.get(field), part.pod.get(field)), (part.name, field)


def covers(real: Any, checked: Any) -> bool:
    """Whether a value equals the checked one, apart from fields that KServe has added."""
    if isinstance(checked, dict):
        return isinstance(real, dict) and all(covers(real.get(key), value) for key, value in checked.items())
    if isinstance(checked, list):
        return isinstance(real, list) and len(real) == len(checked) and all(map(covers, real, checked))
    return checked is None or str(real) == str(checked)


def test_a_restricted_namespace_admits_the_pods(server, applied, created):
    for part in parts(applied):
        metadata = {"name": part.name, "namespace": "winnow"}
        server.dry_run(
            [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template(created, part)["spec"]}]
        )


def test_selectors_match_the_labels_of_the_pods(applied, created):
    for part in parts(applied):
        labels = template(created, part)["metadata"]["labels"]
        assert part.labels.items() <= labels.items()
        for kind, field in (("PodDisruptionBudget", "selector"), ("PodMonitor", "selector")):
            hits = [each for each in applied.of(kind) if selects(each["spec"][field], labels)]
            assert len(hits) == 1, (part.name, kind)
        policies = [each for each in applied.of("NetworkPolicy") if selects(each["spec"]["podSelector"], labels)]
        assert len(policies) > 1, part.name


def test_services_have_the_checked_ports(applied, created):
    expected = services(applied)
    for each in created.of("Service"):
        ports = {port["port"]: port["targetPort"] for port in each["spec"]["ports"]}
        assert ports == expected[each["metadata"]["name"]]
    for part in parts(applied):
        assert created.find("Service", part.name)


def test_kserve_creates_no_route(created):
    """KServe's own routes ignore buckets; it creates none for a chain that is local to the cluster."""
    assert [each["metadata"]["name"] for each in created.of("HTTPRoute")] == ["recommender"]


def test_scaled_objects_have_the_checked_queries_and_thresholds(applied, created):
    for part in parts(applied):
        scaled = created.find("ScaledObject", part.name)
        assert scaled is not None
        spec, settings = scaled["spec"], part.owner["spec"][part.part]
        bounds = (settings["minReplicas"], settings["maxReplicas"])
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == bounds
        assert spec["scaleTargetRef"]["name"] == part.name
        found = {
            each["metadata"]["query"]: float(each["metadata"]["threshold"])
            for each in spec["triggers"]
            if each["type"] == "prometheus"
        }
        owner = f"InferenceService {part.owner['metadata']['name']}"
        checked = {
            each.text: float(each.threshold)
            for each in expressions(applied)
            if each.role == "trigger" and (each.owner, each.part) == (owner, part.part)
        }
        assert found == checked
        # KEDA's default AverageValue divides by the replicas, which the recording rules compensate (decision 19).
        assert all("metricType" not in each for each in spec["triggers"] if each["type"] == "prometheus")


def test_kserve_creates_no_autoscaler(created):
    assert list(created.of("HorizontalPodAutoscaler")) == []
