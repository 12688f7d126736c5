"""Sends many commands at once: publishing writes millions of keys.

redis-py's pipelines keep an object per command and parse each reply for its command. Here hiredis, which redis-py uses
as well, packs the commands of a batch into one buffer per server, and all servers work at the same time.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis import Redis, RedisCluster

from winnow.store.connection import Client

Command = tuple[str | int | float | bytes | memoryview, ...]
"""A command with its arguments, all of whose keys are in one hash slot; the first argument is a key, or it is EVAL."""


def send(client: Client, commands: Sequence[Command]) -> list[Any]:
    """Send commands, without a transaction, and return their replies.

    Args:
        client: connection to a server or a cluster.
        commands: in the order in which a server runs them; commands of different servers run in any order.

    Raises:
        RedisError: a server does not answer, or refuses a command; any of the others may have been run.
    """
    places: dict[Redis, list[int]] = defaultdict(list)
    for place, command in enumerate(commands):
        places[_server(client, command)].append(place)
    connections: list[tuple[Redis, Any]] = []
    replies: list[Any] = [None] * len(commands)
    try:
        for server, those in places.items():
            connection: Any = server.connection_pool.get_connection()
            connections.append((server, connection))
            # hiredis declares a tuple of one argument.
            packed = [pack_command(commands[place]) for place in those]  # type: ignore[arg-type]
            connection.send_packed_command([b"".join(packed)])
        for (_, connection), those in zip(connections, places.values(), strict=True):
            for place in those:
                replies[place] = connection.read_response()
    except BaseException:
        # Replies that were not read would be taken for those of the next command.
        for _, connection in connections:
            connection.disconnect()
        raise
    finally:
        for server, connection in connections:
            server.connection_pool.release(connection)
    return replies


def _server(client: Client, command: Command) -> Redis:
    if not isinstance(client, RedisCluster):
        return client
    # EVAL names the number of its keys first.
    key = command[3] if command[0] == "EVAL" else command[1]
    return client.get_redis_connection(client.get_node_from_key(key))  # type: ignore[no-untyped-call]
