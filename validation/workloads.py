"""The pods that the objects stand for, and the services and ports in front of them; KServe's derived as KServe does."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from validation.objects import Finding, Object, Objects, title

PARTS = ("predictor", "transformer")

_ISVC_FIELDS = ("minReplicas", "maxReplicas", "autoScaling", "model", "deploymentStrategy")
_MODEL_FIELDS = ("modelFormat", "runtime", "storageUri", "protocolVersion")
"""What KServe reads of a model and its container does not get."""

_JOINED = ("env", "volumeMounts", "ports")
"""Lists of a container that a model adds to, before the runtime's; its arguments come after the runtime's."""


@dataclass(frozen=True)
class Workload:
    """Pods of one kind.

    Attributes:
        owner: the object they come from.
        part: of an InferenceService; empty for others.
        name: what they are called.
        labels: of the pods.
        pod: their specification.
        where: the field of the owner that it is in.
    """

    owner: Object
    part: str
    name: str
    labels: Mapping[str, str]
    pod: dict[str, Any]
    where: str

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Those that run, without those that come first."""
        return list(self.pod.get("containers", ()))

    @property
    def every_container(self) -> list[dict[str, Any]]:
        """Init containers, too."""
        return [*self.pod.get("initContainers", ()), *self.containers]

    @property
    def title(self) -> str:
        """How a finding names it."""
        return f"{title(self.owner)} {self.part}".strip()

    def ports(self) -> dict[str, int]:
        """Declared ports by name."""
        return {
            port.get("name", str(port["containerPort"])): port["containerPort"]
            for container in self.containers
            for port in container.get("ports", ())
        }

    def port(self, wanted: int | str) -> int | None:
        """The number of a declared port, by name or number; null where none is declared."""
        return self.ports().get(str(wanted)) or (int(wanted) if wanted in self.ports().values() else None)


def workloads(objects: Objects) -> list[Workload]:
    """All pods that the objects stand for."""
    found = [
        Workload(
            each,
            "",
            each["metadata"]["name"],
            template.get("metadata", {}).get("labels", {}),
            template["spec"],
            f"{where}.spec",
        )
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
        for each in objects.of(kind)
        for template, where in [_template(each)]
    ]
    return found + [
        _part(objects, chain, part) for chain in objects.chains for part in PARTS if chain["spec"].get(part)
    ]


def _template(owner: Object) -> tuple[Object, str]:
    """The template of an object's pods, and the field it is in."""
    if owner["kind"] == "CronJob":
        return owner["spec"]["jobTemplate"]["spec"]["template"], "spec.jobTemplate.spec.template"
    return owner["spec"]["template"], "spec.template"


def _part(objects: Objects, chain: Object, part: str) -> Workload:
    spec: dict[str, Any] = chain["spec"][part]
    name = f"{chain['metadata']['name']}-{part}"
    pod = {key: value for key, value in spec.items() if key not in _ISVC_FIELDS}
    if part == "predictor" and "model" in spec:
        runtime = objects.find("ServingRuntime", spec["model"].get("runtime", ""))
        described = runtime["spec"] if runtime else {"containers": [{}]}
        # KServe lays the model's fields over the runtime's container, and the pod's over the runtime's.
        model = {key: value for key, value in spec["model"].items() if key not in _MODEL_FIELDS}
        container = dict(described["containers"][0])
        for key, value in model.items():
            given = container.get(key, ())
            container[key] = [*given, *value] if key == "args" else [*value, *given] if key in _JOINED else value
        pod["containers"] = [container, *described["containers"][1:]]
        pod["volumes"] = [*pod.get("volumes", ()), *described.get("volumes", ())]
    labels = {
        **chain["metadata"].get("labels", {}),
        **spec.get("labels", {}),
        "serving.kserve.io/inferenceservice": chain["metadata"]["name"],
        "component": part,
        "app": f"isvc.{name}",
    }
    return Workload(chain, part, name, labels, pod, f"spec.{part}")


def services(objects: Objects) -> dict[str, dict[int, int | str]]:
    """Ports of every service and where they lead; KServe maps port 80 to the first port of its first container."""
    found: dict[str, dict[int, int | str]] = {
        each["metadata"]["name"]: {port["port"]: port.get("targetPort", port["port"]) for port in each["spec"]["ports"]}
        for each in objects.of("Service")
    }
    for workload in workloads(objects):
        ports = [port["containerPort"] for port in (workload.containers or [{}])[0].get("ports", ())]
        if workload.part and ports:
            found[workload.name] = {80: ports[0], **{port: port for port in ports[1:]}}
    return found


def opened(container: Mapping[str, Any]) -> set[int]:
    """The ports that a container's process listens on, from its command line."""
    line = [*container.get("command", ()), *container.get("args", ())]
    said = dict(part.split("=", 1) for part in line if part.startswith("--") and "=" in part)
    if "recommender_transformer" in line:
        return {int(said.get("--http_port", 8080)), int(said.get("--grpc_port", 8081))}
    if "bloom_sidecar" in line:
        return {int(said.get("--health-port", 8090))}
    if "tritonserver" in line:
        http = {int(said.get("--http-port", 8000))} if said.get("--allow-http", "true") == "true" else set()
        return {int(said.get("--grpc-port", 8001)), int(said.get("--metrics-port", 8002)), *http}
    if "redis-server" in line:
        return {6379}
    return set()


def kserve_traps(objects: Objects) -> Iterator[Finding]:
    """What KServe accepts and then ignores, or stumbles over."""
    for chain in objects.chains:
        annotations = chain["metadata"].get("annotations", {})
        if annotations.get("serving.kserve.io/deploymentMode") != "Standard":
            yield Finding(
                title(chain), "metadata.annotations", "deploymentMode must be Standard: Knative allows one port a pod"
            )
        if annotations.get("serving.kserve.io/autoscalerClass") != "keda":
            yield Finding(
                title(chain), "metadata.annotations", "autoscalerClass must be keda, or the triggers are ignored"
            )
        for part in PARTS:
            spec = chain["spec"].get(part)
            if spec is None:
                yield Finding(
                    title(chain), f"spec.{part}", "is missing: a chain is transformer and predictor of one release"
                )
                continue
            if "canaryTrafficPercent" in spec:
                yield Finding(
                    title(chain),
                    f"spec.{part}.canaryTrafficPercent",
                    "is ignored in Standard mode: a canary is a second chain (overlays/canary)",
                )
        predictor = chain["spec"].get("predictor") or {}
        own = [container["name"] for container in predictor.get("initContainers", ())]
        if "storageUri" in predictor.get("model", {}) and "storage-initializer" not in own:
            yield Finding(
                title(chain),
                "spec.predictor.initContainers",
                "KServe injects a storage-initializer without a security context, which restricted namespaces refuse: "
                "declare one of that name",
            )
        for container in chain["spec"].get("transformer", {}).get("containers", ())[:1]:
            yield from _transformer_traps(chain, container)


def _transformer_traps(chain: Object, container: Mapping[str, Any]) -> Iterator[Finding]:
    where = "spec.transformer.containers[0]"
    if container.get("name") != "kserve-container":
        yield Finding(
            title(chain), f"{where}.name", "KServe renames the first container to kserve-container: call it so"
        )
    line = " ".join(container.get("args", ()))
    if re.search(r"--protocol\b", line):
        yield Finding(title(chain), f"{where}.args", "--protocol is read and ignored: --predictor_protocol is meant")
    if "--predictor_protocol=grpc-v2" not in line:
        yield Finding(title(chain), f"{where}.args", "--predictor_protocol=grpc-v2 is missing")
    if re.search(r"--workers[= ](?!1\b)", line):
        yield Finding(
            title(chain), f"{where}.args", "--workers above 1 loses the predictor in the children: add replicas"
        )
    if not re.search(r"--predictor_host[= ]\S+:\d+", line):
        yield Finding(title(chain), f"{where}.args", "--predictor_host must name a port, or gRPC dials another one")
