"""The online store: Redis's memory and CPU, and the ElastiCache nodes that have both."""

import math
from dataclasses import dataclass

from winnow.planning import rules
from winnow.planning.figures import GIB, Figure, shown
from winnow.planning.prices import Prices
from winnow.planning.units import Units
from winnow.planning.workload import Workload

IMPRESSIONS_KEPT = 200_000
"""Entries of the impression stream (docs/reference.md)."""


@dataclass(frozen=True)
class Store:
    """The nodes of the store.

    Attributes:
        node_type: ElastiCache node type.
        shards: primaries.
        replicas: replicas of each.
        hourly: price of all nodes.
        memory: predicted memory of the data, in bytes.
    """

    node_type: str
    shards: int
    replicas: int
    hourly: float
    memory: float


def memory(workload: Workload, units: Units, releases: float = rules.REDIS_RELEASES.value) -> dict[str, float]:
    """Predicted memory of Redis by what holds it, in bytes.

    Args:
        workload: the size.
        units: the per-unit figures.
        releases: releases in Redis at the same time.
    """
    more, history = releases - 1, workload.history
    user = units.redis_user_bytes.at(history) + more * units.redis_user_more_bytes.at(history)
    item = units.redis_item_bytes.value + more * units.redis_item_more_bytes.value
    return {
        "users": workload.users * user,
        "items": workload.items * item,
        "events": workload.events * 3600 * units.redis_event_bytes.value,
        "impressions": (workload.rps > 0) * IMPRESSIONS_KEPT * units.redis_impression_bytes.value,
    }


def largest(prices: Prices) -> float:
    """Bytes of data that the largest store holds: the largest node type with the most shards."""
    gib = max(cache.memory_gib for cache in prices.caches.values())
    return rules.REDIS_MOST_SHARDS.value * gib * GIB * rules.REDIS_FREE.value


def single_shard_load(workload: Workload, units: Units) -> float:
    """Load of the shard that holds a stream, as a share of the load that it may have: a stream is one key."""
    events = workload.events * units.redis_append_us.value
    impressions = workload.rps * units.redis_impression_us.value
    return max(events, impressions) / 1e6 / rules.REDIS_LOAD.value


def size(workload: Workload, units: Units, prices: Prices) -> Store:
    """The smallest node type that needs at most ``rules.REDIS_SHARDS`` shards by its memory."""
    needed = sum(memory(workload, units).values())
    busy = workload.rps * units.redis_request_us.value + workload.events * units.redis_event_us.value
    by_cpu = math.ceil(busy / 1e6 / rules.REDIS_LOAD.value)
    types = sorted(prices.caches.items(), key=lambda cache: cache[1].memory_gib)
    for name, cache in types:
        by_memory = math.ceil(needed / (cache.memory_gib * GIB * rules.REDIS_FREE.value))
        shards = max(1, by_memory, by_cpu)
        if by_memory <= rules.REDIS_SHARDS.value or name == types[-1][0]:
            break
    replicas = int(rules.REDIS_REPLICAS.value)
    return Store(name, shards, replicas, shards * (1 + replicas) * cache.hourly, needed)


def figures(workload: Workload, units: Units, prices: Prices, store: Store) -> list[Figure]:
    """The figures of the store."""
    held, releases = memory(workload, units), rules.REDIS_RELEASES.value
    first, more = units.redis_user_bytes.at(workload.history), units.redis_user_more_bytes.at(workload.history)
    item, item_more = units.redis_item_bytes.value, units.redis_item_more_bytes.value
    busy = (workload.rps * units.redis_request_us.value + workload.events * units.redis_event_us.value) / 1e6
    gib = prices.caches[store.node_type].memory_gib
    return [
        Figure(
            "Redis: users", held["users"] / GIB, "GiB",
            f"{shown(workload.users)} users x ({shown(first)} + {shown(more)} bytes) with {shown(workload.history)} "
            f"events each, in {shown(releases)} releases",
            ("redis_user_bytes", "redis_user_more_bytes"),
        ),
        Figure(
            "Redis: item rows", held["items"] / GIB, "GiB",
            f"{shown(workload.items)} items x ({shown(item)} + {shown(item_more)} bytes)",
            ("redis_item_bytes", "redis_item_more_bytes"),
        ),
        Figure(
            "Redis: events of an hour", held["events"] / GIB, "GiB",
            f"{shown(workload.events)} events/s x 3,600 s x {shown(units.redis_event_bytes.value)} bytes",
            ("redis_event_bytes",),
        ),
        Figure(
            "Redis: impressions", held["impressions"] / GIB, "GiB",
            f"{shown(IMPRESSIONS_KEPT)} entries x {shown(units.redis_impression_bytes.value)} bytes",
            ("redis_impression_bytes",),
        ),
        Figure(
            "Redis: CPU", busy, "cores",
            f"{shown(workload.rps)} recommendations/s x {shown(units.redis_request_us.value)} us + "
            f"{shown(workload.events)} events/s x {shown(units.redis_event_us.value)} us",
            ("redis_request_us", "redis_event_us"),
        ),
        Figure(
            f"Redis: shards of {store.node_type}", store.shards, "",
            f"{shown(store.memory / GIB)} GiB / ({shown(gib)} GiB x {rules.REDIS_FREE.value}), "
            f"and {shown(busy)} cores / {rules.REDIS_LOAD.value}; each with {store.replicas} replica",
        ),
    ]  # fmt: skip
