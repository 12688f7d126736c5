"""A real API server takes the manifests, warns of nothing, and refuses what is planted in them."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from validation.apiserver import ApiServer, Refused, api_server, check
from validation.objects import Objects, ToolMissing, overlays, render

EKS = Path(__file__).parents[2] / "eks" / "manifests"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    try:
        with api_server() as running:
            yield running
    except ToolMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def rendered(server: ApiServer) -> Mapping[str, Objects]:
    return {overlay: render(overlay) for overlay in overlays()}


def test_it_takes_every_overlay_and_the_pods_it_stands_for(server, rendered):
    assert [str(finding) for finding in check(server, rendered)] == []


def test_it_takes_what_runs_beside_it_on_eks(server):
    files = sorted(file for file in EKS.rglob("*.yaml") if file.name != "kustomization.yaml")
    objects = [found for file in files for found in yaml.safe_load_all(file.read_text()) if found]
    # Envoy Gateway brings the schema of its class, which is nowhere here.
    known = [each for each in objects if each["kind"] != "GatewayClass"]
    assert len(known) > 5
    server.apply(each for each in known if each["kind"] == "Namespace")
    server.try_out(known)


def refusal(server: ApiServer, objects: Objects) -> str:
    found = [str(finding) for finding in check(server, {"gpu": objects})]
    assert found, "it was taken"
    return found[0]


def transformer(objects: Objects) -> Any:
    return objects.chains[0]["spec"]["transformer"]


def unknown_field(objects: Objects) -> None:
    transformer(objects)["minReplica"] = 2


def wrong_type(objects: Objects) -> None:
    transformer(objects)["minReplicas"] = "two"


def root_container(objects: Objects) -> None:
    transformer(objects)["containers"][0]["securityContext"]["runAsNonRoot"] = False


def kept_capability(objects: Objects) -> None:
    transformer(objects)["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}


def missing_volume(objects: Objects) -> None:
    transformer(objects)["volumes"] = []


def bad_quantity(objects: Objects) -> None:
    transformer(objects)["containers"][0]["resources"]["limits"]["memory"] = "2 gigabytes"


def request_above_limit(objects: Objects) -> None:
    transformer(objects)["containers"][0]["resources"]["requests"]["memory"] = "900Gi"


def probe_of_no_port(objects: Objects) -> None:
    transformer(objects)["containers"][0]["readinessProbe"]["httpGet"]["port"] = 123_456


def both_bounds(objects: Objects) -> None:
    next(objects.of("PodDisruptionBudget"))["spec"] |= {"minAvailable": 1, "maxUnavailable": 1}


def relative_redirect(objects: Objects) -> None:
    # A rule in CEL: a filter's type and its settings go together.
    next(objects.of("HTTPRoute"))["spec"]["rules"][0]["filters"] = [{"type": "RequestMirror"}]


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (unknown_field, ".spec.transformer.minReplica: field not declared in schema"),
        (wrong_type, ".spec.transformer.minReplicas: expected numeric"),
        (root_container, 'violates PodSecurity "restricted:latest": runAsNonRoot != true'),
        (kept_capability, "unrestricted capabilities"),
        (missing_volume, "volumeMounts[0].name: Not found"),
        (bad_quantity, "memory"),
        (request_above_limit, "must be less than or equal to memory limit"),
        (probe_of_no_port, "must be between 1 and 65535"),
        (both_bounds, "minAvailable and maxUnavailable cannot be both set"),
        (relative_redirect, "filter.requestMirror must be specified for RequestMirror filter.type"),
    ],
)
def test_it_names_what_is_wrong(server, rendered, plant, said):
    objects = copy.deepcopy(rendered["gpu"])
    plant(objects)
    assert said in refusal(server, objects)


def test_a_program_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("validation.apiserver.TOOLS", tmp_path)
    with pytest.raises(ToolMissing, match="etcd and kube-apiserver: `make apiserver`"), api_server():
        pass


def test_what_it_refuses_says_so(server):
    with pytest.raises(Refused, match='namespaces "nowhere" not found'):
        server.try_out([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "nowhere"}}])
