"""What the commands share: what runs, and how to print."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.errors import WinnowError

if TYPE_CHECKING:
    from winnow.local.state import StackState

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


def redis_url() -> str:
    """Where the online store is: ``REDIS_URL``, or else the running stack's.

    Raises:
        WinnowError: there is neither.
    """
    from winnow.local import redis

    return os.environ.get("REDIS_URL") or redis.url(running().ports.redis)
