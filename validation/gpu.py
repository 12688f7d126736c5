"""A predictor on GPUs serves the configurations that are made for GPUs, and may keep TensorRT's engines."""

from collections.abc import Iterator

from validation.objects import Finding, Objects
from validation.workloads import workloads

CONFIGURATION = "--model-config-name=gpu"
"""Triton takes each model's ``configs/gpu.pbtxt`` only when it is told so (docs/gpu.md)."""

ENGINES = "/engines"
"""Where those files tell TensorRT to keep its engines (``export.triton.gpu_config.ENGINES``)."""


def check(objects: Objects) -> Iterator[Finding]:
    """Every predictor: with a GPU it is told of both, without one it must not be."""
    for pod in workloads(objects):
        if pod.part != "predictor":
            continue
        for container in pod.containers[:1]:
            has_gpu = "nvidia.com/gpu" in container.get("resources", {}).get("limits", {})
            is_told = CONFIGURATION in container.get("args", ())
            if has_gpu and not is_told:
                yield Finding(pod.title, "args", f"{CONFIGURATION} is missing: TensorRT would never be used")
            if is_told and not has_gpu:
                yield Finding(pod.title, "args", f"{CONFIGURATION} without a GPU: Triton would not start")
            mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", ())}
            if has_gpu and (ENGINES not in mounts or mounts[ENGINES].get("readOnly")):
                yield Finding(pod.title, "volumeMounts", f"nothing that can be written is mounted at {ENGINES}")
