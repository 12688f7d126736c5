"""Settings of the explorer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from winnow.ports import EVERYWHERE, LOOPBACK

LOCAL_NAMES = ("localhost", LOOPBACK, "[::1]")
"""Names by which this machine's browsers reach a server on loopback."""


@dataclass(frozen=True)
class ExplorerSettings:
    """What an explorer is about.

    Attributes:
        home: WINNOW_HOME, whose releases it reads.
        transformer: address of the transformer's HTTP port.
        redis_url: address of Redis.
        api_key: a key for the transformer, where it has access control.
        read_only: whether every POST is refused.
        hosts: names that the ``Host`` of a request may have, without port.
        metrics: addresses of the ``/metrics`` of further processes; empty for those of the home's running stack.
    """

    home: Path
    transformer: str
    redis_url: str
    api_key: str | None = None
    read_only: bool = False
    hosts: tuple[str, ...] = LOCAL_NAMES
    metrics: tuple[str, ...] = ()


def allowed_hosts(host: str, further: Sequence[str]) -> tuple[str, ...]:
    """The names that requests to a server that listens on ``host`` may name.

    A page of another site that resolves its own name to this machine (DNS rebinding) names that site.

    Args:
        host: address to listen on.
        further: names given with ``--allow-host``.
    """
    own = () if host == EVERYWHERE else (host,)
    return tuple(dict.fromkeys((*LOCAL_NAMES, *own, *(name.lower() for name in further))))
