"""KServe's own controller makes of the InferenceServices what the validation takes for granted.

The checks see the objects that are applied; the pods, services and triggers that count are KServe's work.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from validation.apiserver import ApiServer, api_server
from validation.kserve import kserve
from validation.links import selects
from validation.objects import Object, Objects, ToolMissing, render
from validation.promql import expressions
from validation.workloads import Workload, services, workloads

OVERLAY = "canary"
KINDS = "deployment,service,scaledobject,httproute,horizontalpodautoscaler"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
FIELDS = ("image", "ports", "securityContext", "volumeMounts", "resources", "lifecycle", *PROBES)
PATIENCE_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    try:
        with api_server() as running, kserve(running):
            objects = render(OVERLAY)
            running.apply(objects.of("Namespace"))
            running.apply(objects.all)
            yield running
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def applied(server: ApiServer) -> Objects:
    return render(OVERLAY)


@pytest.fixture(scope="module")
def made(server: ApiServer, applied: Objects) -> Objects:
    """What is there once each part of each chain has its ScaledObject, which comes last."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = json.loads(server.kubectl("get", KINDS, "--namespace=winnow", "--output=json"))
        objects = Objects(answer["items"], {})
        if len(list(objects.of("ScaledObject"))) == len(parts(applied)) and all(map(is_whole, objects.all)):
            return objects
        assert time.monotonic() < deadline, [each["metadata"]["name"] for each in objects.all]
        time.sleep(0.2)


def is_whole(each: Object) -> bool:
    """A ScaledObject is first made as KServe's defaults have it, and then given its triggers."""
    return each["kind"] != "ScaledObject" or len(each["spec"]["triggers"]) > 1


def parts(applied: Objects) -> list[Workload]:
    return [each for each in workloads(applied) if each.part]


def template(made: Objects, part: Workload) -> Any:
    deployment = made.find("Deployment", part.name)
    assert deployment is not None
    return deployment["spec"]["template"]


def test_two_chains_are_four_deployments(applied, made):
    assert {each["metadata"]["name"] for each in made.of("Deployment")} == {each.name for each in parts(applied)}


def test_pods_are_those_that_were_checked(applied, made):
    for part in parts(applied):
        spec = template(made, part)["spec"]
        for kind in ("initContainers", "containers"):
            wanted, real = part.pod.get(kind, []), spec.get(kind, [])
            assert [each["name"] for each in real] == [each["name"] for each in wanted]
            for one, other in zip(real, wanted, strict=True):
                said = one.get("args", [])
                # KServe adds the model's name to the first container, and nothing else.
                assert said[: len(other.get("args", []))] == other.get("args", [])
                assert said[len(other.get("args", [])) :] in ([], ["--model_name", part.owner["metadata"]["name"]])
                for field in FIELDS:
                    assert covers(one.get(field), other.get(field)), (part.name, one["name"], field)
        for field in ("securityContext", "serviceAccountName", "automountServiceAccountToken", "volumes"):
            assert covers(spec.get(field), part.pod.get(field)), (part.name, field)


def covers(real: Any, wanted: Any) -> bool:
    """Whether something is as wanted but for fields that were filled in."""
    if isinstance(wanted, dict):
        return isinstance(real, dict) and all(covers(real.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(real, list) and len(real) == len(wanted) and all(map(covers, real, wanted))
    return wanted is None or str(real) == str(wanted)


def test_a_restricted_namespace_lets_the_pods_in(server, applied, made):
    for part in parts(applied):
        metadata = {"name": part.name, "namespace": "winnow"}
        server.try_out(
            [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template(made, part)["spec"]}]
        )


def test_labels_are_those_that_the_selectors_want(applied, made):
    for part in parts(applied):
        labels = template(made, part)["metadata"]["labels"]
        assert part.labels.items() <= labels.items()
        for kind, field in (("PodDisruptionBudget", "selector"), ("PodMonitor", "selector")):
            hits = [each for each in applied.of(kind) if selects(each["spec"][field], labels)]
            assert len(hits) == 1, (part.name, kind)
        policies = [each for each in applied.of("NetworkPolicy") if selects(each["spec"]["podSelector"], labels)]
        assert len(policies) > 1, part.name


def test_services_lead_where_the_routes_and_the_transformer_expect(applied, made):
    expected = services(applied)
    for each in made.of("Service"):
        ports = {port["port"]: port["targetPort"] for port in each["spec"]["ports"]}
        assert ports == expected[each["metadata"]["name"]]
    for part in parts(applied):
        assert made.find("Service", part.name)


def test_the_only_route_from_outside_is_ours(made):
    """KServe would make routes of its own, which know no buckets, were the chains not local to the cluster."""
    assert [each["metadata"]["name"] for each in made.of("HTTPRoute")] == ["recommender"]


def test_keda_is_told_the_queries_and_thresholds_that_were_checked(applied, made):
    for chain in applied.chains:
        for part in ("predictor", "transformer"):
            name = f"{chain['metadata']['name']}-{part}"
            scaled = made.find("ScaledObject", name)
            assert scaled is not None
            spec, settings = scaled["spec"], chain["spec"][part]
            bounds = (settings["minReplicas"], settings["maxReplicas"])
            assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == bounds
            assert spec["scaleTargetRef"]["name"] == name
            found = {
                each["metadata"]["query"]: float(each["metadata"]["threshold"])
                for each in spec["triggers"]
                if each["type"] == "prometheus"
            }
            owner = f"InferenceService {chain['metadata']['name']}"
            wanted = {
                each.text: float(each.threshold)
                for each in expressions(applied)
                if each.role == "trigger" and (each.owner, each.part) == (owner, part)
            }
            assert found == wanted
            # AverageValue, KEDA's own, divides by the replicas: the recording rules reckon with it (decision 19).
            assert all("metricType" not in each for each in spec["triggers"] if each["type"] == "prometheus")


def test_the_autoscaler_is_not_kserves_own(made):
    assert list(made.of("HorizontalPodAutoscaler")) == []
