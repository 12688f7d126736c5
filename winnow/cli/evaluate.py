"""``winnow evaluate``: offline metrics of a release."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import home, release
from winnow.cli.build import newest, run_build
from winnow.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console

    from winnow.evaluation.report import Evaluation, Metrics


def evaluate(
    objective: Annotated[
        str,
        typer.Option(
            help="What counts: an event type such as 'purchase', several separated by commas, 'conversion' for the "
            "types that are conversions, or 'any' for every type of positive value."
        ),
    ] = "any",
    by: Annotated[
        str | None,
        typer.Option(
            metavar="SEGMENT",
            help="Also print a table for each segment of the users: 'activity' (terciles of the history's length), or "
            "a categorical column of the users table.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print recall, NDCG, coverage and value of the served funnel, its retriever alone and classic baselines.

    Evaluates on the last item that each user met (where the data set allows repeats: on each user's last event), with a
    release that was built without the events from then on (`winnow build --holdout last`). A user counts if these
    events include one of the objective with that item, within its attribution window. If there is no such release of
    the newest release's data set, it is built first; `winnow up` does not serve it.
    """
    from winnow.evaluation import report

    served = release.latest(home.releases())
    like = served.manifest.source if served else None
    held_out = release.latest(home.releases(), "last", like)
    if held_out is None:
        served = newest()
        # Before the build, which takes minutes.
        report.check(served.schema, objective, by)
        typer.echo("no release of this data set was built with --holdout last: building one", err=True)
        held_out = run_build(served.manifest.source, "last")
    evaluation = report.evaluate(held_out, objective, by, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(evaluation, indent=1))
    else:
        _show(evaluation, by)


def _show(evaluation: "Evaluation", by: str | None) -> None:
    """Print a table of the metrics, one row per recommender, then one for each segment."""
    from rich.console import Console

    console = Console()
    objective, types = evaluation["objective"], ", ".join(evaluation["types"])
    named = objective if objective == types else f"{objective} ({types})"
    console.print(evaluation["split"], style="dim", markup=False)
    _table(console, f"objective {named}", evaluation["users"], evaluation["metrics"])
    for name, segment in evaluation["segments"].items():
        _table(console, f"{by} {name}", segment["users"], segment["metrics"])


def _table(console: "Console", title: str, users: int, metrics: "Metrics") -> None:
    from rich.table import Table

    console.print()
    console.print(f"{title}: {users:,} user{'' if users == 1 else 's'}", style="bold", markup=False, highlight=False)
    names = list(next(iter(metrics.values())))
    # Without borders, so that all columns fit into 80 characters.
    table = Table("", *names, box=None, header_style="dim", collapse_padding=True, pad_edge=False)
    for recommender, values in metrics.items():
        table.add_row(recommender, *(f"{values[name]:.4f}" for name in names))
    console.print(table)
