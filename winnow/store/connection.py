"""Connections to Redis: addresses, time-outs and retries of every client.

=====================================================  =================================================
``redis://[[user]:password@]host[:port][/db]``         one server
``rediss://…``                                         the same over TLS
``redis+cluster://[[user]:password@]host:port[,…]``    a Redis Cluster; any of its nodes
``rediss+cluster://…``                                 the same over TLS
=====================================================  =================================================

Reserved characters in a user name or password must be percent-encoded. Options after a ``?`` are passed to redis-py:
``?ssl_ca_certs=/etc/redis/ca.pem``, ``?socket_timeout=2``.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import ClusterPipeline
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from winnow.errors import WinnowError

LOCAL = "redis://localhost:6379/0"
"""The default address."""

Client = Redis | RedisCluster
AsyncClient = AsyncRedis | AsyncRedisCluster

FAILURES = (RedisError, RedisClusterException)
"""What a blocking client raises: redis-py's error for an unreachable cluster is not a ``RedisError``."""

_CONNECT_S = 1.0
_ANSWER_S = 5.0
"""Socket time-out. More than twice the longest blocking command (two seconds, when streams are read); request handlers
set shorter deadlines of their own."""

_REFRESH_S = 1.0
"""Minimum interval between refreshes of the slot map after cancelled commands; a refresh takes some milliseconds."""

_ADDRESS = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<options>.*))?")
_NODE = re.compile(r"(?P<host>[^:\[\]@,\s]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_PORT = 6379

__all__ = ["FAILURES", "LOCAL", "AsyncClient", "Client", "RedisError", "connect", "connect_async", "shown"]


@dataclass(frozen=True)
class _Address:
    """A parsed address.

    Attributes:
        url: URL of the server, or of the cluster's first node, in redis-py's syntax.
        cluster: whether the address is a cluster's.
        others: host and port of the cluster's other nodes.
    """

    url: str
    cluster: bool
    others: tuple[tuple[str, int], ...]


class _Cluster(RedisCluster):
    """A cluster client that closes its connections; redis-py's own leaves them to the garbage collector."""

    def close(self) -> None:
        """Close all connections."""
        nodes = self.get_nodes()  # type: ignore[no-untyped-call]
        super().close()
        for node in nodes:
            if node.redis_connection:
                node.redis_connection.connection_pool.disconnect()


class _AsyncCluster(AsyncRedisCluster):
    """A cluster client that refreshes its slot map after cancelled commands, and raises a server client's errors.

    redis-py refreshes the slot map when a connection breaks. A node that hangs breaks no connection, and a caller's
    deadline cancels the command before the socket time-out; so a cancelled command must trigger a refresh, too.
    """

    _suspect = False
    _refreshed = 0.0

    async def initialize(self, *args: Any, **kwargs: Any) -> AsyncRedisCluster:
        """Discover the nodes; raises a ``RedisError`` where none answers."""
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command."""
        with self.refreshing():
            return await super().execute_command(*args, **kwargs)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "_AsyncPipeline":
        """A batch of commands, sent to all nodes concurrently."""
        if transaction:
            # redis-py runs each command of a transaction in a thread with its own event loop and blocks this one.
            raise NotImplementedError("no transactions on an asynchronous cluster client: use a script")
        return _AsyncPipeline(self)  # type: ignore[abstract]  # redis-py never calls its abstract methods

    @contextmanager
    def refreshing(self) -> Iterator[None]:
        """Wrap a command: refresh the slot map if an earlier command was cancelled, and note if this one is."""
        if self._suspect and time.monotonic() - self._refreshed > _REFRESH_S:
            self._refreshed, self._suspect = time.monotonic(), False
            self._initialize = True
        try:
            yield
        except asyncio.CancelledError:
            self._suspect = True
            raise


class _AsyncPipeline(ClusterPipeline):
    """A pipeline whose cancellation makes its client refresh the slot map."""

    def __init__(self, client: _AsyncCluster) -> None:
        super().__init__(client)
        self._client = client

    async def execute(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Send all commands."""
        with self._client.refreshing():
            return await super().execute(*args, **kwargs)


def connect(url: str) -> Client:
    """Connect a blocking client that returns bytes, for commands and the sidecar.

    Raises:
        WinnowError: ``url`` is not a valid address, or Redis does not answer.
    """
    address = _parse(url)
    try:
        if address.cluster:
            # No retries: redis-py would continue a transaction on a new connection, which watches no keys.
            return _Cluster.from_url(
                address.url,
                startup_nodes=[ClusterNode(host, port) for host, port in address.others],  # type: ignore[no-untyped-call]
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
            )
        client = Redis.from_url(
            address.url,
            retry=Retry(NoBackoff(), 1),
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
        )
        clustered = client.info("cluster").get("cluster_enabled")
    except FAILURES as error:
        raise WinnowError(f"Redis does not answer at {shown(url)}: start it, or set REDIS_URL ({error})") from error
    except (TypeError, ValueError) as error:
        raise WinnowError(f"{shown(url)}: an option after the ? is not an option of redis-py ({error})") from None
    if clustered:
        scheme, _, rest = shown(url).partition("://")
        raise WinnowError(
            f"the address of Redis must begin with {scheme}+cluster://, because {rest} is a node of a cluster"
        )
    return client


def connect_async(url: str, answer_s: float | None = _ANSWER_S) -> AsyncClient:
    """Make an asynchronous client that returns bytes; it connects on first use.

    One immediate retry replaces a pooled connection that a restarted server closed, and refreshes a cluster's slot map.
    Longer waits are left to the caller's deadline.

    Args:
        url: the address.
        answer_s: socket time-out. ``None`` for a caller that bounds its calls itself: redis-py starts a task and a
            timer for every send, and a timer for every reply.

    Raises:
        WinnowError: ``url`` is not a valid address.
    """
    address = _parse(url)
    retry = AsyncRetry(NoBackoff(), 1)
    if address.cluster:
        return _AsyncCluster.from_url(
            address.url,
            startup_nodes=[AsyncClusterNode(host, port) for host, port in address.others],
            retry=retry,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=answer_s,
        )
    return AsyncRedis.from_url(address.url, retry=retry, socket_connect_timeout=_CONNECT_S, socket_timeout=answer_s)


def shown(url: str) -> str:
    """An address for messages and logs, without user, password and options: any of these may be secret."""
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        return "***"
    _, there, hosts = parts["authority"].rpartition("@")
    # An unescaped / or ? in a password ends the authority too early.
    if not there and "@" in url:
        return f"{parts['scheme']}://***"
    return f"{parts['scheme']}://{hosts}{parts['path']}"


def _parse(url: str) -> _Address:
    """Parse an address.

    Raises:
        WinnowError: the address is invalid; the message names the fault and contains no secret.
    """
    parts = _ADDRESS.fullmatch(url)
    if parts is None or parts["scheme"] not in _SCHEMES:
        raise WinnowError(
            f"the address of Redis must begin with {', '.join(f'{scheme}://' for scheme in _SCHEMES[:-1])} or "
            f"{_SCHEMES[-1]}://, got {shown(url)}: set REDIS_URL"
        )
    plain, cluster, _ = parts["scheme"].partition("+cluster")
    user, there, hosts = parts["authority"].rpartition("@")
    if not there and "@" in url:
        raise WinnowError(f"{shown(url)}: /, ? and # in a password must be percent-encoded (%2F, %3F, %23)")
    nodes = [_node(node, url) for node in hosts.split(",")]
    if len(nodes) > 1 and not cluster:
        raise WinnowError(f"{shown(url)}: names several nodes; a cluster's address begins with {plain}+cluster://")
    if not re.fullmatch(r"(/0?)?" if cluster else r"(/\d*)?", parts["path"]):
        expected = "a cluster has no databases" if cluster else "a database is a number"
        raise WinnowError(f"{shown(url)}: {expected}, so no other path may follow the port")
    options = f"?{parts['options']}" if parts["options"] else ""
    (host, port), *others = nodes
    return _Address(f"{plain}://{user}{there}{host}:{port}{parts['path']}{options}", bool(cluster), _bare(others))


def _bare(nodes: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Nodes without the brackets around IPv6 addresses."""
    return tuple((host.strip("[]"), port) for host, port in nodes)


def _node(node: str, url: str) -> tuple[str, int]:
    parts = _NODE.fullmatch(node)
    port = int((parts and parts["port"]) or _PORT)
    if parts is None or not 0 < port < 65536:
        raise WinnowError(f"{shown(url)}: names no host, or a port that is not from 1 to 65535: expected HOST:PORT")
    return parts["host"], port
