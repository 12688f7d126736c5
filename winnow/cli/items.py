"""``winnow items``: new items, which are added to a release without a build."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow import home, release
from winnow.cli.options import Json
from winnow.local.running_stack import running

commands = typer.Typer(no_args_is_help=True, help="New items: added to the running release without a build.")


@commands.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or JSON Lines file with the columns of the catalog. Relative image and audio paths "
            "start at the file's folder."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Add new items to the running release: they are recommended and found at once.

    The whole file is validated before any item is sent. An item that was added before is replaced.
    """
    from winnow import protocols
    from winnow.cli import new_items, show

    state = running()
    served = release.Release.open(home.releases() / str(state.release))
    rows = new_items.read(file, served)
    with protocols.http(state.ports.http, state.reached) as endpoint:
        added = new_items.add(endpoint, file, rows, show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(added, indent=1))
    else:
        show.added(added, rows, served)
