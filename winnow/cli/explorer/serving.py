"""``winnow explorer``: serve the explorer of a running stack by hand."""

import os
from typing import Annotated

import typer

from winnow import home
from winnow.ports import LOOPBACK, checked_host


def explorer(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8090,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. The explorer has no login: everyone who reaches it sees all users."),
    ] = LOOPBACK,
    transformer: Annotated[
        str | None,
        typer.Option(help="Address of the transformer's HTTP port. Default: the running stack's.", show_default=False),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse everything that changes something.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name under which browsers reach the explorer; may be repeated.", show_default=False
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="Address of the metrics of a further process, such as a sidecar's; may be repeated. Default: the "
            "running stack's sidecar.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve the explorer, pages that show what the stack recommends and why, until Ctrl-C.

    `winnow up` serves it, too. It reads the releases in WINNOW_HOME, asks the transformer (with the key in
    WINNOW_API_KEY, where it has access control), and reads Redis' streams (REDIS_URL, or the running stack's).
    """
    from winnow.explorer.app import serve
    from winnow.explorer.base.settings import ExplorerSettings, allowed_hosts
    from winnow.local.running_stack import redis_url, running

    host = checked_host(host)
    if transformer is None:
        state = running()
        transformer = f"http://{state.reached}:{state.ports.http}"
    settings = ExplorerSettings(
        home.home(),
        transformer.rstrip("/"),
        redis_url(),
        os.environ.get("WINNOW_API_KEY"),
        read_only,
        allowed_hosts(host, allow_host or ()),
        tuple(metrics or ()),
    )
    typer.echo(f"explorer at http://{host}:{port}; Ctrl-C stops it")
    serve(settings, host, port)
