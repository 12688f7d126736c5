"""TrainJobs on a local API server, and Trainer's controller, which a test plays."""

import json
import threading
from collections.abc import Callable
from typing import Any

from cluster_validation.api_server.server import ApiServer
from kfp_pipelines.train_job import NAMESPACE
from tests.support.until import until

ADDRESSES = {name: f"s3://winnow-artifacts/run/{name}" for name in ("features", "retriever", "ranker")}
"""Artefacts of a pipeline's run."""


def jobs(server: ApiServer) -> list[dict[str, Any]]:
    """All TrainJobs in the namespace of the jobs."""
    found: list[dict[str, Any]] = json.loads(
        server.kubectl("get", "trainjobs", f"--namespace={NAMESPACE}", "--output=json")
    )["items"]
    return found


def report(server: ApiServer, name: str, kind: str, reason: str, message: str, **status: Any) -> None:
    """Set a job's status, as Trainer's controller does."""
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    patch = json.dumps({"status": {"conditions": [condition], **status}})
    place = (f"--namespace={NAMESPACE}", "--subresource=status", "--type=merge", f"--patch={patch}")
    server.kubectl("patch", "trainjob", name, *place)


class Controller(threading.Thread):
    """Trainer's controller, played: acts on the job once it exists. A failure of it fails the test."""

    def __init__(self, server: ApiServer, act: Callable[[dict[str, Any]], object]) -> None:
        super().__init__(daemon=True)
        self.job: dict[str, Any] = {}
        self._server, self._act = server, act
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            until(lambda: jobs(self._server), 60)
            (self.job,) = jobs(self._server)
            self._act(self.job)
        except BaseException as failure:
            self._failure = failure

    def __enter__(self) -> "Controller":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.join(120)
        assert self._failure is None, self._failure
