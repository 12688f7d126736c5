"""The rules of sizing: every number of a plan that is a choice rather than a measurement, with its reason.

A plan prints them. They are constants, because each is tied to what the manifests and the design do.
"""

from typing import NamedTuple


class Rule(NamedTuple):
    """A rule.

    Attributes:
        value: the number.
        reason: what it is and why, as printed.
    """

    value: float
    reason: str


TRANSFORMER_LOAD = Rule(
    0.69, "load of a transformer's process: 55 % CPU of its pod, the autoscaling target (decision 19)"
)
TRITON_LOAD = Rule(0.55, "load of Triton: its autoscaling target; without one of three zones it is 0.83")
REDIS_LOAD = Rule(0.5, "load of a Redis shard, which executes commands on one core")
REDIS_FREE = Rule(
    0.6,
    "share of a cache node's memory for data: 25 % are ElastiCache's reserve, and a fifth of the rest is free",
)
REDIS_RELEASES = Rule(2, "releases in Redis at the same time: a new one is published while the old one serves")
REDIS_SHARDS = Rule(10, "shards of the store above which a larger node type is taken, up to the largest")
REDIS_MOST_SHARDS = Rule(45, "shards of one store: 90 nodes with a replica each, ElastiCache's default quota")
REDIS_REPLICAS = Rule(1, "replicas of a shard, in another zone")
LEAST_REPLICAS = Rule(2, "replicas of each part, in different zones")
NIGHT = Rule(0.2, "lowest number of replicas as a share of the peak's; the autoscaler's minimum")
SPIKE = Rule(1.5, "largest number of replicas as a multiple of the peak's: the autoscaler's maximum, and a lost zone")
SEARCH_MS = Rule(10, "milliseconds that a search of the items may take: at 0.55 load it waits as long again, of 100 ms")
POD_INDEX_GIB = Rule(32, "GiB that a pod may use: the volume of its models, loaded in the ten minutes that it may take")
GPU_FREE = Rule(0.8, "share of a GPU's memory for models and scores; the rest is for TensorRT's and CUDA's own buffers")
GPU_BATCH = Rule(32, "requests that Triton joins to a batch on a GPU at the peak, at most")
MEMORY_LOAD = Rule(0.75, "share of a pod's memory limit that is predicted to be used")
NODE_CPU_TAKEN = Rule(0.35, "vCPUs of a node for kubelet and DaemonSets")
NODE_MEMORY_FREE = Rule(0.88, "share of a node's memory for pods")
RELEASE_GIB = Rule(64, "GiB of a release folder: a transformer's pod downloads all of it to a node's volume of 100 GiB")
RELEASES_KEPT = Rule(10, "releases kept in S3")
SURGE = Rule(1, "further replica of each part while a release rolls out")

ALL = {name.lower(): rule for name, rule in dict(globals()).items() if isinstance(rule, Rule)}
"""Name -> rule."""
