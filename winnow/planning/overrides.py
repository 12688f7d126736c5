"""Writes a plan as settings of `eks/` and `kserve_manifests/`: new files in their folders, which change no other file.

Every terraform command reads ``eks/capacity.auto.tfvars.json``, and ``kserve_manifests/overlays/capacity`` is
the overlay to serve with. It takes replicas and resources from a component, which a canary's chain can take as well;
the limits of the node pools are a component of ``eks/manifests/karpenter``.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from winnow.errors import file_error
from winnow.planning import pods, serving, storage
from winnow.planning.capacity import Plan
from winnow.planning.figures import GIB
from winnow.planning.units import Units

TFVARS = Path("eks/capacity.auto.tfvars.json")
"""Terraform's variables."""

NODE_POOLS = Path("eks/manifests/karpenter/capacity/kustomization.yaml")
"""Component: limits of Karpenter's node pools."""

CHAIN = Path("kserve_manifests/capacity/kustomization.yaml")
"""Component: replicas, resources and bounds of autoscaling of a chain."""

OVERLAY = Path("kserve_manifests/overlays/capacity")
"""The overlay; the files of one that exists are kept, because they name the served release."""

_INSTANCE_CPUS = 8
"""vCPUs of the largest instance of the pool ``gpu``."""

_CHAINS = 2
"""Chains that run at the same time while a release rolls out (kserve_manifests/overlays/canary)."""


def write(plan: Plan, units: Units, folder: Path) -> list[Path]:
    """Write the settings of one cell.

    Args:
        plan: the plan.
        units: the figures that it was made with.
        folder: the root of a checkout of the project, or a folder to copy from.

    Returns:
        The files.

    Raises:
        WinnowError: a file cannot be written.
    """
    contents = {
        TFVARS: json.dumps(_tfvars(plan), indent=2) + "\n",
        NODE_POOLS: _component("Limits of the node pools", _node_pools(plan)),
        CHAIN: _component("Replicas and resources of a chain", _chain(plan, units)),
    }
    once = {
        OVERLAY / "kustomization.yaml": _OVERLAY,
        OVERLAY / "chain/kustomization.yaml": _overlay_chain(plan.predictor.gpu),
    }
    contents |= {name: text for name, text in once.items() if not (folder / name).exists()}
    try:
        for name, text in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as error:
        raise file_error(error, folder) from error
    return [folder / name for name in contents]


_OVERLAY = """\
# Production with the sizes of ../../capacity, written by `winnow plan`. chain/kustomization.yaml sets the release.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: winnow
resources:
- ../../base
- chain
"""

_OVERLAY_CHAIN = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
configMapGenerator:
- name: recommender
  options: {disableNameSuffixHash: true, labels: {winnow/chain: recommender}}
  literals:
  - chain=recommender
  - release=1  # the served release
  - models=winnow-models  # the bucket
components:
- ../../../chain
"""


def _overlay_chain(gpu: bool) -> str:
    return _OVERLAY_CHAIN + ("- ../../../gpu\n" if gpu else "") + "- ../../../capacity\n"


def _tfvars(plan: Plan) -> dict[str, Any]:
    store = plan.store
    return {"redis": {"node_type": store.node_type, "shards": store.shards, "replicas": store.replicas}}


def _node_pools(plan: Plan) -> list[dict[str, Any]]:
    """Limits that hold two chains at their maximum and one more replica of each part, as those in the repository do."""
    cpus = {"cpu": 0.0, "gpu": 0.0}
    memory = {"cpu": 0.0, "gpu": 0.0}
    for each in (plan.predictor, plan.transformers):
        pool = "gpu" if each.gpu else "cpu"
        cpus[pool] += _CHAINS * (each.most + 1) * (_INSTANCE_CPUS if each.gpu else each.cpu)
        memory[pool] += _CHAINS * (each.most + 1) * each.memory_gib
    patches = []
    # Nodes are not filled to the last vCPU: half as much again.
    limits: dict[str, dict[str, str]] = {
        "cpu": {"cpu": f"{1.5 * cpus['cpu']:.0f}", "memory": f"{1.5 * memory['cpu']:.0f}Gi"}
    }
    if plan.predictor.gpu:
        limits["gpu"] = {"nvidia.com/gpu": str(_CHAINS * (plan.predictor.most + 1)), "cpu": f"{cpus['gpu']:.0f}"}
    for name, limit in limits.items():
        patch = [{"op": "replace", "path": "/spec/limits", "value": limit}]
        patches.append(_patch({"kind": "NodePool", "name": name}, patch))
    return patches


def _chain(plan: Plan, units: Units) -> list[dict[str, Any]]:
    triton, transformers = plan.predictor, plan.transformers
    gpu = {"nvidia.com/gpu": "1"} if triton.gpu else {}
    sidecar = serving.sidecar_cpu(plan.cell, units, transformers.replicas)
    container = serving.container_gib(plan.cell, units)
    volume = max(8, round(2 * sum(storage.release(plan.cell, units).values()) / GIB))
    operations = [
        *_bounds("predictor", triton),
        _replace("predictor/model/resources", _resources(triton.cpu, triton.cpu * 2, triton.memory_gib, gpu)),
        *_bounds("transformer", transformers),
        _test("transformer/containers/0/name", "kserve-container"),
        _replace("transformer/containers/0/resources", _resources(1, 2, container, {})),
        _test("transformer/containers/1/name", "bloom-sidecar"),
        _replace(
            "transformer/containers/1/resources", _resources(sidecar, max(1, 2 * sidecar), serving.SIDECAR_GIB, {})
        ),
        _test("transformer/volumes/0/name", "release"),
        _replace("transformer/volumes/0/emptyDir/sizeLimit", f"{volume}Gi"),
    ]
    return [_patch({"kind": "InferenceService"}, operations)]


def _bounds(part: str, placed: pods.Pods) -> list[dict[str, Any]]:
    return [_replace(f"{part}/minReplicas", placed.least), _replace(f"{part}/maxReplicas", placed.most)]


def _resources(cpu: float, most: float, memory_gib: float, more: dict[str, str]) -> dict[str, dict[str, str]]:
    memory = f"{memory_gib * 1024:.0f}Mi"
    return {
        "requests": {"cpu": f"{cpu * 1000:.0f}m", "memory": memory} | more,
        "limits": {"cpu": f"{most * 1000:.0f}m", "memory": memory} | more,
    }


def _replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": f"/spec/{path}", "value": value}


def _test(path: str, value: str) -> dict[str, Any]:
    return {"op": "test", "path": f"/spec/{path}", "value": value}


def _patch(target: dict[str, str], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"target": target, "patch": yaml.safe_dump(operations, sort_keys=False)}


def _component(about: str, patches: list[dict[str, Any]]) -> str:
    document = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}
    return f"# {about}, written by `winnow plan`.\n" + yaml.safe_dump(document, sort_keys=False, width=1000)
