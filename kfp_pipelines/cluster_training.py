"""The ``train`` step on GPU nodes: its artefacts' addresses become the arguments of a TrainJob."""

import json
from collections.abc import Mapping

from pydantic import ValidationError

from kfp_pipelines.cluster.api_server import this_cluster
from kfp_pipelines.launching import TrainJobs
from kfp_pipelines.train_job import TrainJobSize, train_job
from winnow import files
from winnow.errors import WinnowError
from winnow.settings.file import parse
from winnow.settings.training import TrainingSettings
from winnow.training.train import RESULT, TrainingResult

_NO_CLUSTER = "train_on is trainjob: run the pipeline on Kubeflow, or leave train_on at process."
_LATER_S = 600.0
"""Seconds after the job's own time limit until the step stops waiting for the cluster to end it."""


def train_on_cluster(
    artefacts: Mapping[str, str], settings: TrainingSettings, nodes: int, gpus: int, hours: int, profile: str = ""
) -> TrainingResult:
    """Train on GPU nodes of the cluster, and wait for it.

    Settings and checkpoints are written beside the retriever's address. A step that is retried has the same addresses,
    so it continues from the last checkpoint.

    Args:
        artefacts: ``features`` to read, ``retriever`` and ``ranker`` to write, as ``s3://`` addresses.
        settings: of the training.
        nodes: number of nodes.
        gpus: GPUs per node.
        hours: time limit of the job.
        profile: folder for traces, which a TrainJob does not write.

    Raises:
        TrainJobFailed: the job failed.
        WinnowError: an address is not on S3, a number is out of range, traces are asked for, or the job cannot be
            launched or awaited.
    """
    if profile:
        raise WinnowError(
            f"profile is {profile}, but the pods of a TrainJob are deleted with their folders. Leave profile empty, or "
            "train_on at process."
        )
    size = parse(TrainJobSize, json.dumps({"nodes": nodes, "gpus": gpus, "hours": hours}), "train_on: trainjob")
    for name, address in artefacts.items():
        if not address.startswith(files.S3):
            raise WinnowError(
                f"train_on is trainjob, but the artefact {name} is at {address}, which the nodes of a TrainJob cannot "
                "reach. Set the pipeline root to a folder on S3 (s3://bucket/prefix), or leave train_on at process."
            )
    run = artefacts["retriever"].rstrip("/").rpartition("/")[0]
    given = files.inside(run, "settings.json")
    files.write(given, settings.model_dump_json(indent=1).encode())
    arguments = {**artefacts, "settings": given, "checkpoints": files.inside(run, "checkpoints")}
    name = TrainJobs(this_cluster(_NO_CLUSTER)).run(train_job(arguments, size), size.hours * 3600 + _LATER_S)
    return _result(name, files.inside(artefacts["retriever"], RESULT))


def _result(job: str, address: str) -> TrainingResult:
    try:
        return TrainingResult.model_validate_json(files.read(address))
    except (files.FileMissing, ValidationError) as error:
        reason = "is missing" if isinstance(error, files.FileMissing) else "is not a result of training"
        raise WinnowError(
            f"TrainJob {job} is complete, but {address} {reason}. The runtime's image must have the version of the "
            "pipelines' image: see eks/manifests/training/training-runtime.yaml."
        ) from error
