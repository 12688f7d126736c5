"""References between objects: selectors match, ports are opened, and named objects exist."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from cluster_validation.manifests.objects import ROOT, Finding, Object, Objects, title
from cluster_validation.manifests.selectors import selects
from cluster_validation.manifests.workloads import Workload, opened, services, workloads

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_POD_LABEL = "__meta_kubernetes_pod_label_"
_IMAGE = re.compile(r"^(?P<name>[a-z0-9._/:-]+?):(?P<tag>[\w][\w.-]*)(@sha256:[0-9a-f]{64})?$")


def check(objects: Objects) -> Iterator[Finding]:
    """All references between the objects."""
    pods = workloads(objects)
    for pod in pods:
        yield from _pod(objects, pod)
    yield from _selectors(objects, pods)
    yield from _policies(objects, pods)
    for each in objects.all:
        if each["kind"] != "Namespace" and not objects.find("Namespace", each["metadata"].get("namespace", "")):
            yield Finding(
                title(each),
                "metadata.namespace",
                f"the overlay defines no namespace {each['metadata'].get('namespace')}",
            )


def _pod(objects: Objects, pod: Workload) -> Iterator[Finding]:
    account = pod.pod.get("serviceAccountName")
    if account and not objects.find("ServiceAccount", account):
        yield Finding(pod.title, f"{pod.where}.serviceAccountName", f"there is no ServiceAccount {account}")
    volumes = {volume["name"] for volume in pod.pod.get("volumes", ())}
    yield from _volumes(objects, pod)
    for spread in pod.pod.get("topologySpreadConstraints", ()):
        if not selects(spread.get("labelSelector", {}), pod.labels):
            yield Finding(
                pod.title, f"{pod.where}.topologySpreadConstraints", "its selector does not match its own pods"
            )
    for container in pod.every_container:
        where = f"container {container.get('name')}"
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield Finding(pod.title, where, f"mounts {mount['name']}, but the pod has no such volume")
        yield from _image(objects, pod, container, where)
        yield from _environment(objects, pod, container, where)
        yield from _ports(pod, container, where)
        yield from _flags(pod, container, where)
    yield from _peers(objects, pod)


def _volumes(objects: Objects, pod: Workload) -> Iterator[Finding]:
    for volume in pod.pod.get("volumes", ()):
        for source in (volume, *volume.get("projected", {}).get("sources", ())):
            for kind, field, key in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
                if (given := source.get(field)) is None:
                    continue
                name = given.get(key) or given["name"]
                listed = kind == "Secret" and name in objects.outside["secrets"]
                if not listed and objects.find(kind, name) is None:
                    yield Finding(
                        pod.title, f"{pod.where}.volumes", f"volume {volume['name']}: there is no {kind} {name}"
                    )


def _image(objects: Objects, pod: Workload, container: Mapping[str, Any], where: str) -> Iterator[Finding]:
    image = container.get("image", "")
    match = _IMAGE.match(image)
    if match is None or match["tag"] == "latest":
        yield Finding(pod.title, where, f"image {image!r} has no fixed version")
        return
    ours = re.search(r"(?:^|/)winnow/([a-z]+)$", match["name"])
    if ours and match["name"] != f"winnow/{ours[1]}":
        yield Finding(
            pod.title,
            where,
            f"image {image}: name it winnow/{ours[1]}, which eks/set-names replaces",
        )
    if ours and not (ROOT / "images" / ours[1] / "Dockerfile").exists():
        yield Finding(pod.title, where, f"image {image}: there is no images/{ours[1]}/Dockerfile")
    if ours and match["tag"] != version():
        yield Finding(pod.title, where, f"image {image}: `make images` tags {version()}, the version in pyproject.toml")
    if not ours and match["name"] not in objects.outside["images"]:
        yield Finding(pod.title, where, f"image {image} is neither built by images/build nor listed in outside.yaml")


def _environment(objects: Objects, pod: Workload, container: Mapping[str, Any], where: str) -> Iterator[Finding]:
    for variable in container.get("env", ()):
        for kind, key in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
            reference = variable.get("valueFrom", {}).get(key)
            if reference is None:
                continue
            found = objects.find(kind, reference["name"])
            keys = {*(found or {}).get("data", {}), *(found or {}).get("stringData", {})}
            if kind == "Secret" and found is None:
                keys = set(objects.outside["secrets"].get(reference["name"], ()))
            if reference["key"] not in keys:
                yield Finding(
                    pod.title, where, f"{variable['name']}: no {kind} {reference['name']} has a key {reference['key']}"
                )
    names = {variable["name"] for variable in container.get("env", ())}
    for used in re.findall(r"\$\((\w+)\)", " ".join([*container.get("command", ()), *container.get("args", ())])):
        if used not in names:
            yield Finding(pod.title, where, f"its command line uses $({used}), which its environment does not define")


def _ports(pod: Workload, container: Mapping[str, Any], where: str) -> Iterator[Finding]:
    listening = opened(container)
    for port in container.get("ports", ()):
        if port["containerPort"] not in listening:
            yield Finding(
                pod.title, where, f"port {port['containerPort']} is declared, but its process does not open it"
            )
    for probe in _PROBES:
        for handler in ("httpGet", "tcpSocket", "grpc"):
            port = container.get(probe, {}).get(handler, {}).get("port")
            if port is not None and pod.port(port) not in listening:
                yield Finding(pod.title, f"{where} {probe}", f"probes port {port}, which its process does not open")


def _flags(pod: Workload, container: Mapping[str, Any], where: str) -> Iterator[Finding]:
    match container.get("command", ()):
        case ["python", "-m", module]:
            name, flags = module, flags_of("-m", module)
        case ["winnow", *words]:
            name, flags = " ".join(["winnow", *words]), flags_of("-c", "from winnow.cli.app import app; app()", *words)
        case _:
            return
    for arg in container.get("args", ()):
        flag = arg.partition("=")[0]
        if flag.startswith("--") and flag not in flags:
            yield Finding(pod.title, where, f"{name} has no flag {flag}")


@cache
def flags_of(*program: str) -> frozenset[str]:
    """The flags that a program's ``--help`` lists; the program is given as arguments of Python."""
    command = [sys.executable, *program, "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return frozenset(re.findall(r"--[\w-]+", done.stdout))


@cache
def version() -> str:
    """The project's version, with which `make images` tags its images."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def _peers(objects: Objects, pod: Workload) -> Iterator[Finding]:
    """The service that a transformer calls."""
    line = " ".join(arg for container in pod.containers for arg in container.get("args", ()))
    for host, port in re.findall(r"--predictor_host[= ]([\w.-]+):(\d+)", line):
        yield from reaches(objects, pod.title, "--predictor_host", host.split(".")[0], int(port))


def reaches(objects: Objects, name: str, where: str, service: str, port: int) -> Iterator[Finding]:
    """Whether a service and its port exist; findings refer to the field ``where`` of the object ``name``."""
    ports = services(objects).get(service)
    if ports is None:
        yield Finding(name, where, f"there is no service {service}")
    elif port not in ports:
        yield Finding(name, where, f"service {service} has no port {port}, only {sorted(ports)}")


def _selectors(objects: Objects, pods: list[Workload]) -> Iterator[Finding]:
    for each in objects.of("Service"):
        matching = [pod for pod in pods if selects({"matchLabels": each["spec"].get("selector", {})}, pod.labels)]
        if len(matching) != 1:
            yield Finding(title(each), "spec.selector", f"matches {_named(matching)}, but must match one workload")
        for pod in matching[:1]:
            for port in each["spec"]["ports"]:
                if pod.port(port.get("targetPort", port["port"])) is None:
                    yield Finding(
                        title(each), "spec.ports", f"{pod.title} has no port {port.get('targetPort', port['port'])}"
                    )
    for each in objects.of("PodDisruptionBudget"):
        matching = [pod for pod in pods if selects(each["spec"].get("selector", {}), pod.labels)]
        if len(matching) != 1:
            yield Finding(title(each), "spec.selector", f"matches {_named(matching)}, but must match one workload")
    for each in objects.of("Deployment"):
        if not selects(each["spec"]["selector"], each["spec"]["template"]["metadata"].get("labels", {})):
            yield Finding(title(each), "spec.selector", "does not match the labels of its own pods")
    for each in objects.of("PodMonitor"):
        matching = [pod for pod in pods if selects(each["spec"]["selector"], pod.labels)]
        if not matching:
            yield Finding(title(each), "spec.selector", "matches no pod")
        for endpoint in each["spec"]["podMetricsEndpoints"]:
            for label in _scraped_labels(endpoint):
                if not all(label in map(_as_prometheus_writes, pod.labels) for pod in matching):
                    yield Finding(
                        title(each),
                        "spec.podMetricsEndpoints",
                        f"its pods have no label that Prometheus writes as {label}",
                    )
            lacking = [pod.title for pod in matching if endpoint.get("port") not in pod.ports()]
            if lacking:
                yield Finding(
                    title(each), "spec.podMetricsEndpoints", f"{lacking[0]} has no port {endpoint.get('port')}"
                )
    budgets = [each["spec"].get("selector", {}) for each in objects.of("PodDisruptionBudget")]
    for pod in pods:
        if pod.part and not any(selects(selector, pod.labels) for selector in budgets):
            yield Finding(pod.title, "", "no PodDisruptionBudget selects its pods")


def _scraped_labels(endpoint: Mapping[str, Any]) -> Iterator[str]:
    for relabeling in endpoint.get("relabelings", ()):
        for source in relabeling.get("sourceLabels", ()):
            if source.startswith(_POD_LABEL):
                yield source.removeprefix(_POD_LABEL)


def _as_prometheus_writes(label: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def _named(matching: list[Workload]) -> str:
    return ", ".join(pod.title for pod in matching) or "no pod"


def _policies(objects: Objects, pods: list[Workload]) -> Iterator[Finding]:
    policies = list(objects.of("NetworkPolicy"))
    if not any(
        each["spec"]["podSelector"] == {}
        and set(each["spec"].get("policyTypes", ())) == {"Ingress", "Egress"}
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
        for each in policies
    ):
        yield Finding("NetworkPolicy", "", "no policy denies all traffic of all pods of the namespace")
    for each in policies:
        own = [pod for pod in pods if selects(each["spec"]["podSelector"], pod.labels)]
        if not own:
            yield Finding(title(each), "spec.podSelector", "matches no pod")
        for direction, peer_key in (("ingress", "from"), ("egress", "to")):
            for rule in each["spec"].get(direction, ()):
                others: list[Workload] | None = []
                for peer in rule.get(peer_key, ()):
                    found = yield from _peer(objects, each, f"spec.{direction}", peer, pods)
                    others = None if found is None or others is None else others + found
                receiving = own if direction == "ingress" else others if rule.get(peer_key) else None
                yield from _policy_ports(each, f"spec.{direction}", rule, receiving)


def _peer(
    objects: Objects, policy: Object, where: str, peer: Mapping[str, Any], pods: list[Workload]
) -> Iterator[Finding] | Any:
    """Findings about one peer; returns the pods that it selects, or ``None`` for peers outside the namespace."""
    if "ipBlock" in peer:
        return None
    if "namespaceSelector" in peer:
        namespace = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name")
        if namespace not in objects.outside["namespaces"]:
            yield Finding(title(policy), where, f"namespace {namespace} is not listed in outside.yaml")
        labels = peer.get("podSelector", {}).get("matchLabels")
        if labels and labels not in objects.outside["pod_selectors"]:
            yield Finding(title(policy), where, f"pods {labels} of {namespace} are not listed in outside.yaml")
        return None
    found = [pod for pod in pods if selects(peer["podSelector"], pod.labels)]
    if not found:
        yield Finding(title(policy), where, f"podSelector {peer['podSelector']} matches no pod")
    return found


def _policy_ports(
    policy: Object, where: str, rule: Mapping[str, Any], receiving: list[Workload] | None
) -> Iterator[Finding]:
    for port in rule.get("ports", ()):
        for pod in receiving or ():
            if pod.port(port["port"]) is None:
                yield Finding(title(policy), where, f"{pod.title} has no port {port['port']}")
