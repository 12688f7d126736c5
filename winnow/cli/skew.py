"""``winnow skew``: compare served features with recomputed ones."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import release
from winnow.cli.options import Json, ReleaseDir
from winnow.local.running_stack import redis_url, release_folder

if TYPE_CHECKING:
    from winnow.evaluation.skew import SkewReport


def skew(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of impressions to compare, newest first.")] = 1000,
    release_dir: ReleaseDir = None,
    as_json: Json = False,
) -> None:
    """Check for training-serving skew: recompute the features of logged impressions and print the differences.

    One request in sixteen is logged with its features. They are compared with the features computed from the release's
    source, its log and the event stream. Exit code 1: some features differ.
    """
    from winnow.evaluation.skew import check, differing

    served = release.Release.open(release_folder(release_dir))
    report = check(served, redis_url(), limit, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(report, indent=1))
    else:
        _show(report)
    if differing(report):
        raise typer.Exit(1)


def _show(report: "SkewReport") -> None:
    """Print a table of the features, then examples of the differences."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("feature", "compared", "differing", "largest difference")
    for feature in report["features"]:
        largest = "" if feature["largest"] is None else f"{feature['largest']:g}"
        differs = f"[red]{feature['differing']}[/red]" if feature["differing"] else "0"
        table.add_row(feature["feature"], str(feature["compared"]), differs, largest)
    console.print(f"release {report['release']}: {report['impressions']} impressions")
    console.print(table)
    for feature in report["features"]:
        for example in feature["examples"]:
            where = f"request {example['request_id']}" + (f", item {example['item_id']}" if example["item_id"] else "")
            line = f"{feature['feature']}, {where}: served {example['served']}, recomputed {example['recomputed']}"
            console.print(line, markup=False, highlight=False)
    for reason, count in report["not_checked"].items():
        console.print(f"[yellow]not checked[/yellow] {count} {reason}")
