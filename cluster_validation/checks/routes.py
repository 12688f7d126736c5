"""Routes from outside the cluster: their backends exist and are reachable, and which backend serves a request.

Understands as much of the Gateway API's HTTPRoute and GRPCRoute as Winnow's routes use. A gRPC call is a POST of
``/SERVICE/METHOD``, and its metadata are headers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster_validation.checks.links import reaches
from cluster_validation.manifests.objects import Finding, Object, Objects, title
from cluster_validation.manifests.selectors import selects
from cluster_validation.manifests.workloads import Workload, services, workloads

KINDS = ("HTTPRoute", "GRPCRoute")

GATEWAY_NAMESPACE = "envoy-gateway-system"
"""The namespace of the gateway's proxies."""

_SUPPORTED = {"path", "headers", "method"}


def check(objects: Objects) -> Iterator[Finding]:
    """Parents, backends, the network policies on the way, and host names."""
    hosts: list[tuple[str, str]] = []
    for route in (each for kind in KINDS for each in objects.of(kind)):
        for parent in route["spec"].get("parentRefs", ()):
            if f"{parent.get('namespace')}/{parent['name']}" not in objects.outside["gateways"]:
                yield Finding(
                    title(route), "spec.parentRefs", f"gateway {parent['name']} is not listed in outside.yaml"
                )
        for host in route["spec"].get("hostnames", ["*"]):
            for kind, other in hosts:
                if kind != route["kind"] and (_within(host, other) or _within(other, host)):
                    yield Finding(
                        title(route),
                        "spec.hostnames",
                        f"{host} overlaps with {kind} {other}: a gateway accepts only one of them",
                    )
            hosts.append((route["kind"], host))
        for number, rule in enumerate(route["spec"].get("rules", ())):
            for backend in rule.get("backendRefs", ()):
                where, port = f"spec.rules[{number}].backendRefs", backend.get("port", 0)
                yield from reaches(objects, title(route), where, backend["name"], port)
                target = services(objects).get(backend["name"], {}).get(port)
                if target is not None and not _admitted(objects, backend["name"], target):
                    yield Finding(
                        title(route),
                        where,
                        f"no NetworkPolicy admits {GATEWAY_NAMESPACE} to {backend['name']}:{target}",
                    )


def _within(host: str, others: str) -> bool:
    """Whether a host name equals another or matches its wildcard."""
    return host == others or (others.startswith("*") and host.endswith(others[1:]))


def _admitted(objects: Objects, service: str, target: int | str) -> bool:
    """Whether the gateway's pods may connect to the pods of a service that KServe creates."""
    pod = next((each for each in workloads(objects) if each.name == service), None)
    return pod is not None and any(
        _admits(rule, pod, target)
        for policy in objects.of("NetworkPolicy")
        if selects(policy["spec"]["podSelector"], pod.labels)
        for rule in policy["spec"].get("ingress", ())
    )


def _admits(rule: Mapping[str, Any], pod: Workload, target: int | str) -> bool:
    names = (peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in rule.get("from", ()))
    from_gateway = any(each.get("kubernetes.io/metadata.name") == GATEWAY_NAMESPACE for each in names)
    return from_gateway and any(pod.port(port["port"]) == pod.port(target) for port in rule.get("ports", ()))


def backends(
    route: Object, path: str, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> dict[str, int]:
    """Weight by service of the backends that serve a request; empty where no rule matches.

    A rule applies where one of its matches holds, and a match where all its conditions hold. The most specific match
    wins: an exact path, then the longest prefix, then a method, then the most headers; then the first rule.

    Raises:
        NotImplementedError: a rule has a condition of a type that this function does not support.
    """
    given = {name.lower(): value for name, value in (headers or {}).items()}
    best: tuple[tuple[int, int, int, int], dict[str, int]] | None = None
    for rule in route["spec"]["rules"]:
        for match in rule.get("matches", [{}]):
            rank = _rank(_over_http(match) if route["kind"] == "GRPCRoute" else match, path, given, method)
            if rank is not None and (best is None or rank > best[0]):
                best = rank, {each["name"]: each.get("weight", 1) for each in rule.get("backendRefs", ())}
    return best[1] if best else {}


def _over_http(match: Mapping[str, Any]) -> dict[str, Any]:
    """A GRPCRoute's match as the equivalent match of HTTP requests."""
    called = match.get("method", {})
    if called.get("type", "Exact") != "Exact" or not called.get("service"):
        raise NotImplementedError(f"matches calls by {called}")
    path = {"type": "PathPrefix", "value": f"/{called['service']}"}
    if "method" in called:
        path = {"type": "Exact", "value": f"/{called['service']}/{called['method']}"}
    return {"path": path, "headers": match.get("headers", ())}


def _rank(
    match: Mapping[str, Any], path: str, headers: Mapping[str, str], method: str
) -> tuple[int, int, int, int] | None:
    """How specific a match is; ``None`` where it does not hold."""
    if unknown := set(match) - _SUPPORTED:
        raise NotImplementedError(f"matches by {', '.join(sorted(unknown))}")
    condition = match.get("path", {"type": "PathPrefix", "value": "/"})
    if condition["type"] == "Exact":
        held, exact = path == condition["value"], 1
    elif condition["type"] == "PathPrefix":
        # By elements: /v1/models is a prefix of /v1/models/x, not of /v1/models2.
        prefix = condition["value"].rstrip("/")
        held, exact = path == prefix or path.startswith(f"{prefix}/"), 0
    else:
        raise NotImplementedError(f"path of type {condition['type']}, which gateways interpret differently")
    for header in match.get("headers", ()):
        if header.get("type", "Exact") != "Exact":
            raise NotImplementedError(f"header of type {header['type']}, which gateways interpret differently")
        held = held and headers.get(header["name"].lower()) == header["value"]
    held = held and match.get("method", method) == method
    return (exact, len(condition["value"]), int("method" in match), len(match.get("headers", ()))) if held else None
