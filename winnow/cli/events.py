"""``winnow events``: the event and impression streams."""

import json
import sys
from typing import Annotated

import typer

from winnow import home
from winnow.cli.analysis.attribution import report
from winnow.cli.options import Json
from winnow.local.running_stack import redis_url

commands = typer.Typer(
    no_args_is_help=True, help="The streams of events and impressions (what users did, and what they were shown)."
)
commands.command()(report)


@commands.command()
def export(
    folder: Annotated[
        str | None,
        typer.Argument(
            help="A folder or s3://bucket/prefix, the same for every export. Default: events/ in WINNOW_HOME.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Export new events, impressions and changes of users and items to Parquet, each once, and trim the streams.

    Reads the streams in REDIS_URL, or else in the running stack's Redis. Events that are exported and that every
    release has applied are then removed from the event stream; events that are not exported are never removed.
    """
    from winnow.feedback.export import export

    target = folder or str(home.events())
    done = export(target, redis_url(), show_progress=sys.stderr.isatty())
    if as_json:
        typer.echo(json.dumps(done._asdict() | {"trimmed": done.trimmed._asdict()}, indent=1))
        return
    for file in done.files:
        typer.echo(file)
    typer.echo(f"exported {done.events} events and {done.impressions} impressions to {target}")
    for count, of in ((done.user_changes, "users"), (done.changes, "the catalog")):
        if count:
            typer.echo(f"exported {count} changes of {of}")
    if done.malformed:
        typer.echo(f"skipped {done.malformed} entries that are not valid events, impressions or changes")
    typer.echo(f"trimmed {done.trimmed.entries} events that every release has applied; {done.trimmed.left} are left")
    for silent in done.trimmed.silent:
        typer.echo(
            f"ignored release {silent}, whose sidecars have been silent for a week: run `winnow filters rebuild` if it "
            "is served again"
        )
