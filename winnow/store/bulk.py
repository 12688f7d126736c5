"""Sends many commands at once: publishing writes millions of keys.

redis-py's pipelines keep an object per command and parse each reply for its command. Here the client's own packer
writes the commands of a batch into one buffer per server, all servers work at the same time, and a reply is only
checked for being an error.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisCluster

from winnow.store.connection import Client

Command = tuple[str | bytes | int, ...]
"""A command with its arguments; the first argument is a key, and all keys are in one hash slot."""


def send(client: Client, commands: Sequence[Command]) -> None:
    """Send commands and wait for all replies, without a transaction.

    Args:
        client: connection to a server or a cluster.
        commands: in the order in which a server runs them; commands of different servers run in any order.

    Raises:
        RedisError: a server does not answer, or refuses a command; any of the others may have been run.
    """
    by_server: dict[Redis, list[Command]] = defaultdict(list)
    if isinstance(client, RedisCluster):
        for command in commands:
            node = client.get_node_from_key(command[1])  # type: ignore[no-untyped-call]
            by_server[client.get_redis_connection(node)].append(command)
    else:
        by_server[client] = list(commands)
    connections: list[tuple[Redis, Any]] = []
    try:
        for server, those in by_server.items():
            connection: Any = server.connection_pool.get_connection()
            connections.append((server, connection))
            connection.send_packed_command([b"".join(connection.pack_commands(those))])
        for (_, connection), those in zip(connections, by_server.values(), strict=True):
            for _ in those:
                connection.read_response()
    except BaseException:
        # Replies that were not read would be taken for those of the next command.
        for _, connection in connections:
            connection.disconnect()
        raise
    finally:
        for server, connection in connections:
            server.connection_pool.release(connection)
