"""Redis URLs: valid settings, refused ones, and messages without secrets."""

import asyncio

import pytest
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from winnow.errors import WinnowError
from winnow.store.connection import RedisError, connect, connect_async, shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://anna:s3cret@cache.example:6380/2", "rediss://cache.example:6380/2"),
        ("redis://:s3cret@cache.example?ssl_password=s3cret", "redis://cache.example"),
        ("redis+cluster://u:s3cret@a:1,b:2", "redis+cluster://a:1,b:2"),
        ("rediss+cluster://u:s3cret@[::1]:7000,b", "rediss+cluster://[::1]:7000,b"),
        # A part that may be a secret is not shown.
        ("redis://:s3/cret@host:6379", "redis://***"),
        ("redis://:s3?cret@host:6379", "redis://***"),
        ("s3cret@host", "***"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, expected: str) -> None:
    assert shown(address) == expected


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("localhost:6379", "must begin with redis://, rediss://, "),
        ("http://:s3cret@host", r"must begin with .*, got http://host: set REDIS_URL"),
        ("redis://:s3/cret@host:6379", r"redis://\*\*\*: .*must be percent-encoded"),
        ("redis://:s3@cret@127.0.0.1:1", r"does not answer at redis://127\.0\.0\.1:1"),
        ("redis://:s3cret@", "redis://: names no host"),
        ("redis://host:0", "names no host, or a port that is not from 1 to 65535"),
        ("redis://host:70000", "names no host, or a port that is not from 1 to 65535"),
        ("redis://host:6379,other:6379", r"names several nodes; a cluster's address begins with redis\+cluster://"),
        ("rediss+cluster://:s3cret@a:1,,b:2", "names no host"),
        ("redis+cluster://a:1/3", "a cluster has no databases"),
        ("redis://a:1/first", "a database is a number"),
        ("redis://127.0.0.1:1/0?colour=red", r"redis://127\.0\.0\.1:1/0: an option after the \? .*colour"),
        ("redis+cluster://127.0.0.1:1?socket_timeout=s3cret", r"an option after the \?"),
    ],
)
def test_an_invalid_address_is_refused_by_name_without_its_secrets(address: str, complaint: str) -> None:
    with pytest.raises(WinnowError, match=complaint) as refused:
        connect(address)
    assert "cret" not in str(refused.value)


def test_an_unreachable_redis_and_cluster_have_the_same_error() -> None:
    for scheme in ("redis", "rediss", "redis+cluster", "rediss+cluster"):
        with pytest.raises(WinnowError, match=rf"does not answer at {scheme}://127\.0\.0\.1:1: ".replace("+", r"\+")):
            connect(f"{scheme}://u:s3cret@127.0.0.1:1")


def test_an_address_holds_every_setting() -> None:
    alone = connect_async("rediss://anna:s%403cret@cache:6380/2?ssl_ca_certs=/etc/ca.pem")
    assert isinstance(alone, AsyncRedis)
    settings = alone.connection_pool.connection_kwargs
    assert (settings["host"], settings["port"], settings["db"]) == ("cache", 6380, 2)
    assert (settings["username"], settings["password"], settings["ssl_ca_certs"]) == ("anna", "s@3cret", "/etc/ca.pem")
    cluster = connect_async("rediss+cluster://anna:s%403cret@a:7000,[::1]?ssl_ca_certs=/etc/ca.pem")
    assert isinstance(cluster, AsyncRedisCluster)
    assert {(node.host, node.port) for node in cluster.startup_nodes} == {("a", 7000), ("::1", 6379)}
    for node in cluster.startup_nodes:
        assert node.connection_kwargs["password"] == "s@3cret"
        assert node.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"


def test_a_transaction_on_a_clusters_event_loop_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="use a script"):
        connect_async("redis+cluster://127.0.0.1:1").pipeline(transaction=True)


def test_an_unreachable_cluster_is_a_redis_error_on_the_event_loop() -> None:
    async def ask() -> None:
        client = connect_async("redis+cluster://127.0.0.1:1,127.0.0.1:2")
        try:
            with pytest.raises(RedisError):
                await client.get("anything")
            with pytest.raises(RedisError):
                await client.pipeline(transaction=False).get("anything").execute()
        finally:
            await client.aclose()

    asyncio.run(ask())
