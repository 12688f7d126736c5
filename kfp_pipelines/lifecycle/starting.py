"""``python -m kfp_pipelines.lifecycle.starting``: start a run on Kubeflow Pipelines, unless the home has one that runs.

Prints one line of JSON, ``{"run": ID, "unfinished": NAME}``: the run that was started, or else the name of the run that
was found. `winnow trigger --endpoint` calls it in a process of its own.
"""

import json
import sys
import warnings
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from winnow.errors import WinnowError
from winnow.proxies import bypass_loopback

UNFINISHED = ("RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "PAUSED", "CANCELING")
"""States of a run that has not ended."""

_MOST_RUNS = 200
"""Runs that are read per page; Kubeflow allows no more."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def start(
    endpoint: Annotated[str, typer.Option(help="Address of Kubeflow Pipelines' API.")],
    pipeline: Annotated[str, typer.Option(help="Name of the uploaded pipeline, whose newest version runs.")],
    experiment: Annotated[str, typer.Option(help="The experiment of the run; created where it is missing.")],
    parameters: Annotated[str, typer.Option(help="The pipeline's parameters as a JSON object; home is one of them.")],
) -> None:
    """Start a run of an uploaded pipeline, unless a run with the same parameter home is unfinished."""
    try:
        with redirect_stdout(sys.stderr):  # the client prints links
            found = _start(endpoint, pipeline, experiment, json.loads(parameters))
    except WinnowError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found))


def _start(endpoint: str, pipeline: str, experiment: str, parameters: dict[str, Any]) -> dict[str, str | None]:
    """Start the run; returns its id, or the name of an unfinished one.

    Raises:
        WinnowError: Kubeflow Pipelines does not answer, refuses, or has no such pipeline.
    """
    # An import of kfp's client warns that it is not for Kubeflow Pipelines 1.
    warnings.filterwarnings("ignore", "This client only works with", FutureWarning)
    from kfp import Client
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    try:
        client = Client(host=endpoint)
        if unfinished := _unfinished(client, parameters["home"]):
            return {"run": None, "unfinished": unfinished}
        known = client.get_pipeline_id(pipeline)
        versions = known and client.list_pipeline_versions(known, page_size=1, sort_by="created_at desc")
        if not versions or not versions.pipeline_versions:
            raise WinnowError(
                f"{endpoint} has no pipeline {pipeline}: upload its package with `kfp --endpoint {endpoint} pipeline "
                f"create --pipeline-name {pipeline} FILE`"
            )
        run = client.run_pipeline(
            client.create_experiment(experiment).experiment_id,
            f"trigger {datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
            pipeline_id=known,
            version_id=versions.pipeline_versions[0].pipeline_version_id,
            params=parameters,
        )
    except (ApiException, HTTPError) as error:
        body = getattr(error, "body", None)
        said = " ".join(str(body or error).split())[:300]
        raise WinnowError(f"Kubeflow Pipelines at {endpoint} did not start a run: {said}") from error
    return {"run": run.run_id, "unfinished": None}


def _unfinished(client: Any, home: str) -> str | None:
    """The name of an unfinished run, of any pipeline, with this home as a parameter."""
    predicate = {"key": "state", "operation": "IN", "stringValues": {"values": UNFINISHED}}
    token = ""
    while True:
        page = client.list_runs(page_token=token, page_size=_MOST_RUNS, filter=json.dumps({"predicates": [predicate]}))
        for run in page.runs or ():
            given = (run.runtime_config and run.runtime_config.parameters) or {}
            if str(given.get("home", "")).rstrip("/") == home.rstrip("/"):
                return str(run.display_name)
        if not page.next_page_token:
            return None
        token = page.next_page_token


if __name__ == "__main__":
    bypass_loopback()
    app()
