"""The pods that a cluster makes of the objects, with their services and ports; KServe's are derived as by KServe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster_validation.manifests.objects import Object, Objects, title

PARTS = ("predictor", "transformer")

_ISVC_FIELDS = ("minReplicas", "maxReplicas", "autoScaling", "model", "deploymentStrategy")
_MODEL_FIELDS = ("modelFormat", "runtime", "storageUri", "protocolVersion")
"""Fields of a model that KServe reads itself and does not pass to the container."""

_JOINED = ("env", "volumeMounts", "ports")
"""Container lists to which a model's entries are prepended; its arguments are appended to the runtime's instead."""


@dataclass(frozen=True)
class Workload:
    """The pods of one controller.

    Attributes:
        owner: the object that declares the pods.
        part: ``predictor`` or ``transformer`` of an InferenceService; empty for other kinds.
        name: name of the controller.
        labels: labels of the pods.
        pod: the pods' specification.
        where: path of the specification in the owner.
    """

    owner: Object
    part: str
    name: str
    labels: Mapping[str, str]
    pod: dict[str, Any]
    where: str

    @property
    def containers(self) -> list[dict[str, Any]]:
        """The containers, without init containers."""
        return list(self.pod.get("containers", ()))

    @property
    def every_container(self) -> list[dict[str, Any]]:
        """Init containers and containers."""
        return [*self.pod.get("initContainers", ()), *self.containers]

    @property
    def title(self) -> str:
        """The owner's title and the part, by which a finding refers to the workload."""
        return f"{title(self.owner)} {self.part}".strip()

    def ports(self) -> dict[str, int]:
        """Number of each declared port by its name, or by the number where it has none."""
        return {
            port.get("name", str(port["containerPort"])): port["containerPort"]
            for container in self.containers
            for port in container.get("ports", ())
        }

    def port(self, name: int | str) -> int | None:
        """The number of a declared port, by name or number; ``None`` where it is not declared."""
        return self.ports().get(str(name)) or (int(name) if name in self.ports().values() else None)


def serving_part(chain: Object) -> str:
    """The part of a chain that requests reach: the predictor where the transformer has its place, with the models."""
    containers = chain["spec"].get("predictor", {}).get("containers", ())
    embedded = any("recommender_transformer" in container.get("command", ()) for container in containers)
    return "predictor" if embedded else "transformer"


def workloads(objects: Objects) -> list[Workload]:
    """The workloads of all controllers and of both parts of each InferenceService."""
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
    """An object's pod template and its path."""
    if owner["kind"] == "CronJob":
        return owner["spec"]["jobTemplate"]["spec"]["template"], "spec.jobTemplate.spec.template"
    return owner["spec"]["template"], "spec.template"


def _part(objects: Objects, chain: Object, part: str) -> Workload:
    spec: dict[str, Any] = chain["spec"][part]
    name = f"{chain['metadata']['name']}-{part}"
    pod = {key: value for key, value in spec.items() if key not in _ISVC_FIELDS}
    if part == "predictor" and "model" in spec:
        runtime = objects.find("ServingRuntime", spec["model"].get("runtime", ""))
        runtime_pod = runtime["spec"] if runtime else {"containers": [{}]}
        # KServe merges the model's fields into the runtime's container, and the pod's fields into the runtime's pod.
        model = {key: value for key, value in spec["model"].items() if key not in _MODEL_FIELDS}
        container = dict(runtime_pod["containers"][0])
        for key, value in model.items():
            given = container.get(key, ())
            container[key] = [*given, *value] if key == "args" else [*value, *given] if key in _JOINED else value
        pod["containers"] = [container, *runtime_pod["containers"][1:]]
        pod["volumes"] = [*pod.get("volumes", ()), *runtime_pod.get("volumes", ())]
    labels = {
        **chain["metadata"].get("labels", {}),
        **spec.get("labels", {}),
        "serving.kserve.io/inferenceservice": chain["metadata"]["name"],
        "component": part,
        "app": f"isvc.{name}",
    }
    return Workload(chain, part, name, labels, pod, f"spec.{part}")


def services(objects: Objects) -> dict[str, dict[int, int | str]]:
    """Target port by port of every service; KServe maps port 80 to the first port of a part's first container."""
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
    flags = dict(part.split("=", 1) for part in line if part.startswith("--") and "=" in part)
    if "recommender_transformer" in line:
        return {int(flags.get("--http_port", 8080)), int(flags.get("--grpc_port", 8081))}
    if "bloom_sidecar" in line:
        return {int(flags.get("--health-port", 8090))}
    if "tritonserver" in line:
        http = {int(flags.get("--http-port", 8000))} if flags.get("--allow-http", "true") == "true" else set()
        return {int(flags.get("--grpc-port", 8001)), int(flags.get("--metrics-port", 8002)), *http}
    if "redis-server" in line:
        return {6379}
    return set()
