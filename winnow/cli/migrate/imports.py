"""``winnow import``: a data set of another recommender's export."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from winnow.datasets.migration.target import Report

commands = typer.Typer(no_args_is_help=True, help="Data sets of other recommenders' exports.")

Folder = Annotated[Path, typer.Argument(help="Folder with the exported files.")]
Output = Annotated[Path, typer.Option("--output", help="Folder of the data set; it must not exist.")]


@commands.command()
def gorse(folder: Folder, output: Output) -> None:
    """Import Gorse's users, items and feedback, as its dashboard exports them: CSV, or JSON Lines."""
    from winnow.datasets.migration.gorse import convert

    _run(convert, folder, output)


@commands.command()
def personalize(folder: Folder, output: Output) -> None:
    """Import Amazon Personalize's interactions, items and users: CSV, with their schemas as JSON files beside them."""
    from winnow.datasets.migration.personalize import convert

    _run(convert, folder, output)


def _run(convert: "Callable[[Path, Path], Report]", folder: Path, output: Path) -> None:
    report = convert(folder, output)
    for table, count in report.rows.items():
        typer.echo(f"{table}: {count:,} rows")
    for reason, count in report.left_out.items():
        examples = "; ".join(report.examples[reason])
        typer.echo(f"left out: {count:,} rows: {reason} ({examples})")
    for note in report.notes:
        typer.echo(note)
    typer.echo(f"{output}: check the events' values in dataset.yaml, then run `winnow build --data {output}`")
