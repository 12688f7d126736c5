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

    from winnow.evaluation.report import Evaluation, Segment

_DIFFERENCE = "ndcg@10"

_COLUMNS = ("ndcg@10", "recall@10", "recall@50", "coverage@10", "value_ndcg@10", "mean_value@10")
"""Metrics of the table: all fit into 80 characters. JSON and the report have the others too."""


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
    number: Annotated[
        int | None,
        typer.Argument(metavar="[N]", min=1, help="The release. Default: the newest one.", show_default=False),
    ] = None,
) -> None:
    """Print recall, NDCG, coverage, popularity and value of the served funnel, its retriever and classic baselines.

    Evaluates on the last item that each user met (where the data set allows repeats: on each user's last event), with a
    release that was built without the events from then on (`winnow build --holdout last`). A user counts if these
    events include one of the objective with that item, within its attribution window. If there is no such release of
    release N's data, it is built first; `winnow up` does not serve it.

    Where a release is live, its funnel is asked too, about the users whose last item neither release knows. With the
    objective `any`, all of it is kept in evaluations/N of WINNOW_HOME, for `winnow report` and `winnow gate`.
    """
    from winnow.datasets.profile import twin_of
    from winnow.evaluation import report
    from winnow.evaluation.held_out import ANY
    from winnow.evaluation.measure import measure

    served = release.latest(home.releases()) if number is None else release.Release.open(home.releases() / str(number))
    held_out = twin_of(served) if served else release.latest(home.releases(), "last")
    if held_out is None:
        served = served or newest()
        # Before the build, which takes minutes.
        report.check(served.schema, objective, by)
        typer.echo("no release was built from this data with --holdout last: building one", err=True)
        held_out = run_build(served.manifest.source, "last")
    report.check(held_out.schema, objective, by)
    measured = measure(held_out, _live(), objective, show_progress=sys.stderr.isatty())
    if objective == ANY:
        measured.write(str(home.home()))
    evaluation = report.view(measured.record, by)
    if as_json:
        typer.echo(json.dumps(evaluation, indent=1))
    else:
        show(evaluation, by)


def _live() -> "release.Release | None":
    """The live release; ``None`` where none was promoted."""
    from winnow.lifecycle.live import live

    pin = live(str(home.home()))
    return None if pin is None else release.Release.open(home.releases() / str(pin.release))


def show(evaluation: "Evaluation", by: str | None) -> None:
    """Print a table of the metrics, one row per recommender, then one for each segment."""
    from rich.console import Console

    console = Console()
    objective, types = evaluation["objective"], ", ".join(evaluation["types"])
    named = objective if objective == types else f"{objective} ({types})"
    console.print(evaluation["split"], style="dim", markup=False)
    _table(console, f"objective {named}", evaluation)
    _differences(console, evaluation)
    if (beside := evaluation["beside_live"]) is not None:
        _table(console, f"beside the live release {evaluation['live']}", beside)
        _differences(console, beside)
    else:
        console.print(f"\nnot compared with a live release: {evaluation['uncompared']}", style="dim", markup=False)
    for name, segment in evaluation["segments"].items():
        _table(console, f"{by} {name}", segment)


def _differences(console: "Console", segment: "Segment") -> None:
    """Print how far the funnel's ndcg@10 exceeds each other recommender's, with its 95 % interval."""
    for name, metrics in segment["differences"].items():
        low, high = segment["difference_intervals"][name][_DIFFERENCE]
        console.print(
            f"funnel - {name}: {_DIFFERENCE} {metrics[_DIFFERENCE]:+.4f} ({low:+.4f} to {high:+.4f})",
            style="dim",
            markup=False,
            highlight=False,
        )


def _table(console: "Console", title: str, segment: "Segment") -> None:
    from rich.table import Table

    users, metrics = segment["users"], segment["metrics"]
    console.print()
    console.print(f"{title}: {users:,} user{'' if users == 1 else 's'}", style="bold", markup=False, highlight=False)
    # Without borders, so that all columns fit into 80 characters.
    table = Table("", *_COLUMNS, box=None, header_style="dim", collapse_padding=True, pad_edge=False)
    for recommender, values in metrics.items():
        table.add_row(recommender, *(f"{values[name]:.4f}" for name in _COLUMNS))
    console.print(table)
