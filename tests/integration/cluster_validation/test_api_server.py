"""A real API server accepts the manifests without a warning, and refuses planted faults."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cluster_validation.api_server.check import check
from cluster_validation.api_server.server import ApiServer, Refused, api_server
from cluster_validation.manifests.objects import Objects, ToolMissing, add_ons, outside, overlays, render


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


def test_it_accepts_every_overlay_and_its_pods(server, rendered):
    assert [str(finding) for finding in check(server, rendered)] == []


def test_it_accepts_the_add_ons_on_eks(server):
    objects = Objects(add_ons(), outside())
    assert len(objects.all) > 5
    assert [str(finding) for finding in check(server, {"eks/manifests": objects})] == []


def refusal(server: ApiServer, objects: Objects) -> str:
    found = [str(finding) for finding in check(server, {"gpu": objects})]
    assert found, "the server accepted it"
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
    # A CEL rule: a filter's type and its settings belong together.
    next(objects.of("HTTPRoute"))["spec"]["rules"][0]["filters"] = [{"type": "RequestMirror"}]


@pytest.mark.parametrize(
    ("plant", "message"),
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
def test_it_names_the_planted_fault(server, rendered, plant, message):
    objects = copy.deepcopy(rendered["gpu"])
    plant(objects)
    assert message in refusal(server, objects)


def test_a_missing_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("cluster_validation.api_server.server.TOOLS", tmp_path)
    with pytest.raises(ToolMissing, match="etcd and kube-apiserver are not in"), api_server():
        pass


def test_a_refusal_has_the_message_of_the_server(server):
    with pytest.raises(Refused, match='namespaces "nowhere" not found'):
        server.dry_run([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "nowhere"}}])
