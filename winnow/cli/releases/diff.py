"""``winnow diff``: what differs between two releases."""

import json
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer

from winnow import home, release
from winnow.evaluation.record import FUNNEL


def diff(
    first: Annotated[int, typer.Argument(metavar="A", min=1, help="A release.")],
    second: Annotated[int, typer.Argument(metavar="B", min=1, help="The release to compare with it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what differs between releases A and B: build, settings, schema, catalog, models, metrics, sizes of files.

    The metrics are those of `winnow evaluate`: of the release itself, or of the newest evaluated one that was built
    from the same inputs without the held-out events.
    """
    from winnow.lifecycle.difference import differences

    opened = [release.Release.open(home.releases() / str(number)) for number in (first, second)]
    metrics = (_metrics(opened[0]), _metrics(opened[1]))
    found = differences(opened[0], opened[1], metrics, home.home() / "model_repository")
    if as_json:
        typer.echo(json.dumps([asdict(difference) for difference in found], indent=1))
        return
    if not found:
        typer.echo(f"releases {first} and {second} do not differ")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", f"release {first}", f"release {second}", box=None, header_style="dim", pad_edge=False)
    for section, rows in groupby(found, key=lambda difference: difference.section):
        table.add_row(f"[bold]{section}[/bold]")
        for row in rows:
            table.add_row(*(escape(text) for text in (f"  {row.name}", row.before or "-", row.after or "-")))
    Console().print(table)


def _metrics(asked: release.Release) -> dict[str, float]:
    """The funnel's metrics in the evaluation of a release; empty without one."""
    from winnow.reporting.evaluated import evaluated, record_of

    root = home.home()
    record = record_of(root, asked.manifest, evaluated(root))
    if record is None:
        return {}
    return {
        f"{name} (release {record.release})": estimate.value
        for name, estimate in record.overall.metrics[FUNNEL].items()
    }
