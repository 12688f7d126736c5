"""Starts a run on Kubeflow Pipelines, by a child process: this package does not import ``kfp_pipelines``."""

import json
import subprocess
import sys
from collections.abc import Mapping

from winnow.errors import WinnowError

PIPELINE = "retraining"
"""Name under which the package is uploaded."""

_TIMEOUT_S = 120.0
"""Time-out of all calls together, in seconds; a server that answers takes some seconds."""


def start_run(endpoint: str, experiment: str, parameters: Mapping[str, str | int]) -> tuple[str | None, str | None]:
    """Start a run of the uploaded pipeline's newest version.

    Args:
        endpoint: address of Kubeflow Pipelines' API.
        experiment: the experiment of the run.
        parameters: of the pipeline, among them ``home``.

    Returns:
        The id of the run and ``None``; or ``None`` and the name of a run of this home that has not ended.

    Raises:
        WinnowError: no run could be started.
    """
    command = [sys.executable, "-P", "-m", "kfp_pipelines.lifecycle.starting"]
    command += [f"--endpoint={endpoint}", f"--pipeline={PIPELINE}", f"--experiment={experiment}"]
    command += [f"--parameters={json.dumps(parameters)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise WinnowError(
            f"Kubeflow Pipelines at {endpoint} did not answer within {_TIMEOUT_S:.0f} s; look there whether it has "
            "started a run"
        ) from None
    if done.returncode:
        raise WinnowError(done.stderr.strip() or f"the client of Kubeflow Pipelines ended with code {done.returncode}")
    found = json.loads(done.stdout)
    return found["run"], found["unfinished"]
