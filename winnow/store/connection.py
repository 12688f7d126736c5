"""How to reach Redis: one place for what a client of the online store does when Redis does not answer."""

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from winnow.errors import WinnowError

_CONNECT_S = 1.0

__all__ = ["RedisError", "connect", "connect_async"]


def connect(url: str) -> Redis:
    """A client for scripts: answers are bytes.

    Raises:
        WinnowError: nothing answers at ``url``.
    """
    client = Redis.from_url(url, socket_connect_timeout=_CONNECT_S, retry=Retry(NoBackoff(), 1))
    try:
        client.ping()
    except RedisError as error:
        raise WinnowError(f"Redis does not answer at {url}: start it, or set REDIS_URL ({error})") from error
    return client


def connect_async(url: str) -> AsyncRedis:
    """A client for the event loop; it opens its connections on first use.

    One immediate retry heals a pooled connection that died with an old server; waiting longer is the caller's
    decision, who has a deadline.
    """
    return AsyncRedis.from_url(url, socket_connect_timeout=_CONNECT_S, retry=AsyncRetry(NoBackoff(), 1))
