"""``winnow filters``: the users' histories and Bloom filters."""

import sys
from typing import Annotated

import typer

from winnow import home
from winnow.cli.options import ReleaseDir
from winnow.local.running_stack import redis_url, release_folder

commands = typer.Typer(
    no_args_is_help=True, help="The users' histories and Bloom filters (seen items, touched categories)."
)


@commands.command()
def rebuild(
    release_dir: ReleaseDir = None,
    exports: Annotated[
        str | None,
        typer.Option(help="Folder of `winnow events export`. Default: events/ in WINNOW_HOME.", show_default=False),
    ] = None,
) -> None:
    """Rebuild every user's history and filters from the release's log and all events since.

    Reads the event stream and, once it was trimmed, the exported events. The stack can keep serving meanwhile. Needed
    when filters are damaged, when a sidecar reports missed events, or after the filters' format or settings changed.
    """
    from winnow.feedback.rebuild import rebuild
    from winnow.release import Release

    release = Release.open(release_folder(release_dir))
    folder = exports or str(home.events())
    done = rebuild(release, redis_url(), show_progress=sys.stderr.isatty(), exports=folder)
    typer.echo(f"release {release.manifest.number}: rebuilt {done.users} users with {done.events} events")
