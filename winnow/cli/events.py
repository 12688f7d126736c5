"""``winnow events``: what people did and what they were shown."""

import json
import sys
from typing import Annotated

import typer

from winnow import home
from winnow.cli.running import Json, redis_url

commands = typer.Typer(no_args_is_help=True, help="What people did, and what they were shown.")


@commands.command()
def export(
    folder: Annotated[
        str | None,
        typer.Argument(
            help="A folder, or s3://bucket/prefix: the same one every time. By default events/ in WINNOW_HOME.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write new events and impressions to Parquet, each once, and make room in the event stream.

    Reads the streams of REDIS_URL, or else of the running stack. What every release has applied is then trimmed from
    the event stream; what was not exported never is.
    """
    from winnow.feedback.export import export

    where = folder or str(home.events())
    done = export(where, redis_url(), show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(done._asdict() | {"trimmed": done.trimmed._asdict()}, indent=1))
        return
    for file in done.files:
        typer.echo(file)
    typer.echo(f"exported {done.events} events and {done.impressions} impressions to {where}")
    if done.malformed:
        typer.echo(f"left out {done.malformed} entries that are neither")
    typer.echo(f"trimmed {done.trimmed.entries} events that every release has applied; {done.trimmed.left} stay")
    for silent in done.trimmed.silent:
        typer.echo(
            f"did not wait for {silent}, whose sidecars have been silent for a week: should it come back, run "
            "`winnow filters rebuild`"
        )
