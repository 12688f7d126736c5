"""``winnow items``: items that are newer than the release."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow import home, release
from winnow.cli.running import Json, running

commands = typer.Typer(no_args_is_help=True, help="Items that are newer than the release.")


@commands.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or JSON Lines with the columns of a catalog; image and audio are paths from the file's "
            "folder."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Add new items to the running release: they can be recommended and found at once, without a build.

    The whole file is checked before anything is sent; an item that was added before is replaced.
    """
    from winnow import client
    from winnow.cli import new_items, show

    state = running()
    served = release.Release.open(home.releases() / str(state.release))
    rows = new_items.read(file, served)
    with client.http(state.ports.http, state.reached) as endpoint:
        added = new_items.add(endpoint, file, rows, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(added, indent=1))
    else:
        show.added(added, rows, served)
