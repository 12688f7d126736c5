"""Where the steps of a pipeline run on a cluster: requests, nodes, retries and time limits of their pods.

The defaults fit the nodes that ``eks/`` creates (``eks/manifests/karpenter/node-pools.yaml``). A run on one machine
ignores all of this.
"""

from typing import Any

from kfp import kubernetes

from kfp_pipelines.parameters import Given
from winnow.erasures.digest import VARIABLE

GPU = "nvidia.com/gpu"
"""The resource, and the taint of the nodes that have it."""

RETRIES = 2
"""Of a step whose pod fails or is lost, after one minute and after two."""


def placed(task: Any, given: Given, hours: int, models: bool = False, retries: int = RETRIES) -> Any:
    """Give a task its place.

    Args:
        task: a task of kfp.
        given: the pipeline's parameters, with those of :data:`kfp_pipelines.parameters.PLACEMENT`.
        hours: time limit of each attempt.
        models: whether the task trains or runs models, and so may use GPUs.
        retries: further attempts after a failure.

    Returns:
        The task.
    """
    # kfp 2.17 passes parameters of resources into an `If` only where the task names them as its channels, too.
    task.register_pipeline_channels([given[name] for name in ("step_cpu", "step_memory", "step_gpus") if name in given])
    task.set_cpu_request(given["step_cpu"])
    task.set_memory_request(given["step_memory"]).set_memory_limit(given["step_memory"])
    # Optional; a build must recognise the digests of erased users (docs/people.md).
    kubernetes.use_secret_as_env(task, "erasure", {"key": VARIABLE}, optional=True)
    kubernetes.add_node_selector_json(task, given["model_nodes" if models else "data_nodes"])
    if models:
        task.set_accelerator_type(GPU).set_accelerator_limit(given["step_gpus"])
        kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    if retries:
        task.set_retry(retries, backoff_duration="60s", backoff_factor=2, backoff_max_duration="600s")
    return kubernetes.set_timeout(task, hours * 3600)
