"""Finds the stack, the release and the Redis that a command is about."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from winnow import home
from winnow.errors import WinnowError

if TYPE_CHECKING:
    from winnow.local.stack_state import StackState


def running() -> "StackState":
    """The stack that runs in this home.

    Raises:
        WinnowError: no stack is running.
    """
    from winnow.local import stack_state

    state = stack_state.running()
    if state is None:
        raise WinnowError("no stack is running: start one with `winnow up`")
    return state


def release_folder(given: Path | None) -> Path:
    """The folder given to the command, or else that of the running stack's release.

    Raises:
        WinnowError: no folder is given, and no stack is running.
    """
    return given or home.releases() / str(running().release)


def known_redis_url() -> str | None:
    """The address in ``REDIS_URL``, or else that of the running stack's Redis; ``None`` without either."""
    from winnow.local import redis, stack_state

    state = stack_state.running()
    return os.environ.get("REDIS_URL") or (redis.url(state.ports.redis) if state else None)


def redis_url() -> str:
    """The address in ``REDIS_URL``, or else that of the running stack's Redis.

    Raises:
        WinnowError: ``REDIS_URL`` is not set, and no stack is running.
    """
    from winnow.local import redis

    return os.environ.get("REDIS_URL") or redis.url(running().ports.redis)
