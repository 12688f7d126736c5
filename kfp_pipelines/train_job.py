"""A training run on GPU nodes as an object of the cluster: a ``TrainJob`` of Kubeflow Trainer, 2.2 or newer.

The runtime that it names (``eks/manifests/training/training-runtime.yaml``) has what is the same for every run: image,
command, service account, node pool and restarts. The TrainJob has what differs: arguments, nodes, GPUs, time limit.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

GROUP = "trainer.kubeflow.org"
VERSION = "v1alpha1"
PLURAL = "trainjobs"
NAMESPACE = "winnow-jobs"
RUNTIME = "winnow-torch"

OUTPUT = "winnow/output"
"""Label whose value is the same for all jobs that write to one address."""

_CPUS_PER_GPU = 3
_GIB_PER_GPU = 12


class TrainJobSize(BaseModel):
    """What a training run may use.

    Attributes:
        nodes: number of nodes, each with the same number of GPUs.
        gpus: GPUs of a node; a process is started for each.
        hours: time limit, from the creation of the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    nodes: int = Field(ge=1, le=64)
    gpus: int = Field(ge=1, le=8)
    hours: int = Field(ge=1, le=14 * 24)


def train_job(arguments: Mapping[str, str], size: TrainJobSize) -> dict[str, Any]:
    """The TrainJob of a run of ``torchrun -m winnow.training``.

    Trainer passes nodes, rank of the node and address of the first to torchrun in the environment, and one process per
    GPU: ``numProcPerNode`` is left to its default for that reason.

    Args:
        arguments: option -> address; ``retriever`` must be among them.
        size: nodes, GPUs and time limit.
    """
    output = hashlib.sha256(arguments["retriever"].encode()).hexdigest()[:32]
    memory, gpus = f"{_GIB_PER_GPU * size.gpus}Gi", str(size.gpus)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"generateName": "winnow-train-", "namespace": NAMESPACE, "labels": {OUTPUT: output}},
        "spec": {
            "runtimeRef": {"name": RUNTIME},
            "activeDeadlineSeconds": size.hours * 3600,
            "trainer": {
                "numNodes": size.nodes,
                "resourcesPerNode": {
                    "requests": {"cpu": str(_CPUS_PER_GPU * size.gpus), "memory": memory, "nvidia.com/gpu": gpus},
                    "limits": {"memory": memory, "nvidia.com/gpu": gpus},
                },
                "args": [part for option, address in arguments.items() for part in (f"--{option}", address)],
            },
        },
    }
