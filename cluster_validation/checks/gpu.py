"""A predictor on a GPU uses the models' GPU configurations and has a volume for TensorRT's engines."""

from collections.abc import Iterator

from cluster_validation.manifests.objects import Finding, Objects
from cluster_validation.manifests.workloads import workloads

CONFIGURATION = "--model-config-name=gpu"
"""The flag with which Triton uses each model's ``configs/gpu.pbtxt`` (docs/gpu.md)."""

ENGINES = "/engines"
"""The folder in which those files let TensorRT cache its engines (``export.triton.gpu_config.ENGINES``)."""


def check(objects: Objects) -> Iterator[Finding]:
    """Every predictor: one with a GPU needs both, one without a GPU must not have the flag."""
    for pod in workloads(objects):
        if pod.part != "predictor":
            continue
        for container in pod.containers[:1]:
            has_gpu = "nvidia.com/gpu" in container.get("resources", {}).get("limits", {})
            is_configured = CONFIGURATION in container.get("args", ())
            if has_gpu and not is_configured:
                yield Finding(pod.title, "args", f"{CONFIGURATION} is missing: Triton would not use TensorRT")
            if is_configured and not has_gpu:
                yield Finding(pod.title, "args", f"{CONFIGURATION} without a GPU: Triton would not start")
            mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", ())}
            if has_gpu and (ENGINES not in mounts or mounts[ENGINES].get("readOnly")):
                yield Finding(pod.title, "volumeMounts", f"no writable volume is mounted at {ENGINES}")
