"""``winnow evaluate``: offline metrics of a release."""

import json
import sys
from typing import Annotated

import typer

from winnow import home, release
from winnow.cli.build import newest, run_build
from winnow.cli.options import Json


def evaluate(
    as_json: Json = False,
    min_weight: Annotated[
        float, typer.Option(help="Evaluate only held-out events whose type has at least this weight.")
    ] = 0.0,
) -> None:
    """Print recall, NDCG and coverage of the served funnel, its retriever alone and classic baselines.

    Evaluates on every user's last event, with a release that was built without these events (`winnow build --holdout
    last`). If there is no such release of the newest release's data set, it is built first; `winnow up` does not serve
    it.
    """
    from winnow.cli import show
    from winnow.evaluation import report

    served = release.latest(home.releases())
    like = served.manifest.source if served else None
    held_out = release.latest(home.releases(), "last", like)
    if held_out is None:
        source = newest().manifest.source
        typer.echo("no release of this data set was built with --holdout last: building one", err=True)
        held_out = run_build(source, "last")
    evaluation = report.evaluate(held_out, min_weight, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(evaluation, indent=1))
    else:
        show.evaluation(evaluation)
