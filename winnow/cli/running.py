"""What the commands share: what runs, and how to print."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow import home
from winnow.errors import WinnowError

if TYPE_CHECKING:
    from winnow.local.state import StackState

ReleaseDir = Annotated[
    Path | None,
    typer.Option(help="The release's folder. By default that of the running stack.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def running() -> "StackState":
    """The stack that runs in this home.

    Raises:
        WinnowError: there is none.
    """
    from winnow.local import state as stacks

    state = stacks.running()
    if state is None:
        raise WinnowError("nothing is running; start it with `winnow up`")
    return state


def release_folder(named: Path | None) -> Path:
    """The release that a command is about: the one it was named, or else the running stack's.

    Raises:
        WinnowError: none is named, and nothing is running.
    """
    return named or home.releases() / str(running().release)


def redis_url() -> str:
    """Where the online store is: ``REDIS_URL``, or else the running stack's.

    Raises:
        WinnowError: there is neither.
    """
    from winnow.local import redis

    return os.environ.get("REDIS_URL") or redis.url(running().ports.redis)
