"""``winnow filters``: the Bloom filters of what users have met."""

import sys
from typing import Annotated

import typer

from winnow import home
from winnow.cli.running import ReleaseDir, redis_url, release_folder

commands = typer.Typer(no_args_is_help=True, help="The Bloom filters of what users have met.")


@commands.command()
def rebuild(
    release_dir: ReleaseDir = None,
    exports: Annotated[
        str | None,
        typer.Option(
            help="Where `winnow events export` writes. By default events/ in WINNOW_HOME.", show_default=False
        ),
    ] = None,
) -> None:
    """Write every user's history and filters anew, from the release's log and every event since.

    The events are those of the stream and, once some were trimmed, the exported ones. The stack serves on meanwhile. Do
    it when filters were damaged, when a sidecar says that it missed events, or after a change of how they are made.
    """
    from winnow.feedback.rebuild import rebuild
    from winnow.release import Release

    release = Release.open(release_folder(release_dir))
    kept = exports or str(home.events())
    done = rebuild(release, redis_url(), show_progress=sys.stderr.isatty(), exports=kept)
    typer.echo(f"release {release.manifest.number}: {done.users} users rebuilt, with {done.events} events")
