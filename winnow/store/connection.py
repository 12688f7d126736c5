"""How to reach Redis: one address says everything, and one place says what happens when Redis does not answer.

=====================================================  =================================================
``redis://[[user]:password@]host[:port][/db]``         one server
``rediss://…``                                         the same over TLS
``redis+cluster://[[user]:password@]host:port[,…]``    a Redis Cluster; any of its nodes will do
``rediss+cluster://…``                                 the same over TLS
=====================================================  =================================================

Reserved characters of a user or a password are percent-encoded. What follows a ``?`` goes to redis-py as it is:
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
"""Where Redis is for whoever does not say."""

Client = Redis | RedisCluster
AsyncClient = AsyncRedis | AsyncRedisCluster

FAILURES = (RedisError, RedisClusterException)
"""What a blocking client raises: a cluster of which no node answers is no ``RedisError`` to redis-py."""

_CONNECT_S = 1.0
_ANSWER_S = 5.0
"""A connection that is silent for so long is given up. More than twice the longest wait that is asked of Redis (two
seconds, by those who read streams); those who answer people have deadlines of their own."""

_DOUBT_S = 1.0
"""Who holds what is asked at most so often because commands were given up: it takes some milliseconds."""

_ADDRESS = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<options>.*))?")
_NODE = re.compile(r"(?P<host>[^:\[\]@,\s]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_PORT = 6379

__all__ = ["FAILURES", "LOCAL", "AsyncClient", "Client", "RedisError", "connect", "connect_async", "shown"]


@dataclass(frozen=True)
class _Address:
    """An address, taken apart.

    Attributes:
        url: of the only node, or of a cluster's first, as redis-py understands it.
        cluster: whether it is a cluster's.
        others: host and port of a cluster's other nodes.
    """

    url: str
    cluster: bool
    others: tuple[tuple[str, int], ...]


class _AsyncCluster(AsyncRedisCluster):
    """A cluster's client that heals whatever its callers do, and fails as a lone server's does.

    redis-py asks anew who holds what when a connection breaks. A node that hangs breaks none, and callers with a
    deadline are gone before its silence counts as an error; so a command that is given up makes it ask too.
    """

    _in_doubt = False
    _asked = 0.0

    async def initialize(self, *args: Any, **kwargs: Any) -> AsyncRedisCluster:
        """Find the nodes; none that answers is a ``RedisError``."""
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command."""
        with self.doubting():
            return await super().execute_command(*args, **kwargs)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "_AsyncPipeline":
        """A batch of commands, each node's on its way at once."""
        if transaction:
            # redis-py runs each command of one in a thread with a loop of its own, and makes this loop wait.
            raise NotImplementedError("transactions on a cluster's event loop: use a script")
        return _AsyncPipeline(self)  # type: ignore[abstract]  # what redis-py leaves abstract it never uses

    @contextmanager
    def doubting(self) -> Iterator[None]:
        """Around a command: ask anew who holds what if one was given up before, and take note if this one is."""
        if self._in_doubt and time.monotonic() - self._asked > _DOUBT_S:
            self._asked, self._in_doubt = time.monotonic(), False
            self._initialize = True
        try:
            yield
        except asyncio.CancelledError:
            self._in_doubt = True
            raise


class _AsyncPipeline(ClusterPipeline):
    """A pipeline that, given up, makes its client doubt."""

    def __init__(self, client: _AsyncCluster) -> None:
        super().__init__(client)
        self._client = client

    async def execute(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Send all."""
        with self._client.doubting():
            return await super().execute(*args, **kwargs)


def connect(url: str) -> Client:
    """A client for scripts and for the sidecar: answers are bytes.

    Raises:
        WinnowError: ``url`` is not an address, or nothing answers there.
    """
    address = _parse(url)
    try:
        if address.cluster:
            # No retries: redis-py would go on with a transaction on a new connection, where nothing is watched.
            return RedisCluster.from_url(
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
        raise WinnowError(f"{shown(url)}: an option after the ? is not one that redis-py takes ({error})") from None
    if clustered:
        scheme, _, rest = shown(url).partition("://")
        raise WinnowError(f"the address of Redis must begin with {scheme}+cluster://, because {rest} is a node of one")
    return client


def connect_async(url: str) -> AsyncClient:
    """A client for the event loop; it opens its connections on first use.

    One immediate retry heals a pooled connection that died with an old server, and asks a cluster anew who holds what;
    waiting longer is the caller's decision, who has a deadline.

    Raises:
        WinnowError: ``url`` is not an address.
    """
    address = _parse(url)
    retry = AsyncRetry(NoBackoff(), 1)
    if address.cluster:
        return _AsyncCluster.from_url(
            address.url,
            startup_nodes=[AsyncClusterNode(host, port) for host, port in address.others],
            retry=retry,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
        )
    return AsyncRedis.from_url(address.url, retry=retry, socket_connect_timeout=_CONNECT_S, socket_timeout=_ANSWER_S)


def shown(url: str) -> str:
    """An address for messages and logs: without user, password and options, any of which may be a secret."""
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        return "***"
    _, there, hosts = parts["authority"].rpartition("@")
    # A password with a bare / or ? ends the authority too early.
    if not there and "@" in url:
        return f"{parts['scheme']}://***"
    return f"{parts['scheme']}://{hosts}{parts['path']}"


def _parse(url: str) -> _Address:
    """Take an address apart.

    Raises:
        WinnowError: it is not one; the message says what is wrong, and no secret.
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
        raise WinnowError(f"{shown(url)}: {expected}, so nothing else may follow the port")
    options = f"?{parts['options']}" if parts["options"] else ""
    (host, port), *others = nodes
    return _Address(f"{plain}://{user}{there}{host}:{port}{parts['path']}{options}", bool(cluster), _bare(others))


def _bare(nodes: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Nodes without the brackets that an IPv6 address wears where a port may follow."""
    return tuple((host.strip("[]"), port) for host, port in nodes)


def _node(node: str, url: str) -> tuple[str, int]:
    parts = _NODE.fullmatch(node)
    port = int((parts and parts["port"]) or _PORT)
    if parts is None or not 0 < port < 65536:
        raise WinnowError(f"{shown(url)}: names no host, or a port that is not from 1 to 65535: expected HOST:PORT")
    return parts["host"], port
