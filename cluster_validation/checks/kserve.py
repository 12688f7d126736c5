"""Settings of an InferenceService that KServe accepts and then ignores or misreads."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cluster_validation.manifests.objects import Finding, Object, Objects, title
from cluster_validation.manifests.workloads import PARTS, serving_part


def check(objects: Objects) -> Iterator[Finding]:
    """Deployment mode, autoscaler class, canaries, init containers and the transformer's command line."""
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
        serving = serving_part(chain)
        for part in PARTS:
            spec = chain["spec"].get(part)
            if spec is None:
                if part == "predictor" or serving == "transformer":
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
        for container in chain["spec"].get(serving, {}).get("containers", ())[:1]:
            yield from _transformer(chain, serving, container)


def _transformer(chain: Object, part: str, container: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"spec.{part}.containers[0]"
    if container.get("name") != "kserve-container":
        yield Finding(
            title(chain), f"{where}.name", "KServe renames the first container to kserve-container: use that name"
        )
    line = " ".join(container.get("args", ()))
    if re.search(r"--workers[= ](?!1\b)", line):
        yield Finding(
            title(chain), f"{where}.args", "--workers above 1 loses the predictor in the children: add replicas"
        )
    if part == "predictor":
        if "--model-repository=" not in line:
            yield Finding(title(chain), f"{where}.args", "--model-repository is missing: the chain has no Triton")
        return
    if re.search(r"--protocol\b", line):
        yield Finding(title(chain), f"{where}.args", "--protocol is read and ignored: use --predictor_protocol")
    if "--predictor_protocol=grpc-v2" not in line:
        yield Finding(title(chain), f"{where}.args", "--predictor_protocol=grpc-v2 is missing")
    if not re.search(r"--predictor_host[= ]\S+:\d+", line):
        yield Finding(
            title(chain), f"{where}.args", "--predictor_host must include a port, or gRPC dials a default port"
        )
