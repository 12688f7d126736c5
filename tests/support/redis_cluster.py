"""A real Redis Cluster on loopback, running inside a block."""

import os
import random
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.support.until import until
from winnow.local.processes import Process
from winnow.local.redis import server

MASTERS = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
"""A node without an answer for this time is voted out. Redis' default is 15 s; on loopback a second is enough."""

_BUS = 10_000
"""Offset of the cluster bus port from a node's port."""


@dataclass(frozen=True)
class Node:
    """A node of the cluster.

    Attributes:
        port: that it listens on.
        process: of the server.
        client: connection to this node only.
    """

    port: int
    process: Process
    client: Redis

    @property
    def id(self) -> str:
        """The node's id in the cluster."""
        return str(self.client.cluster("MYID").decode())

    def kill(self) -> None:
        """Kill the node with SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the node inside the block: connections stay open without an answer."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Cluster:
    """Masters and their replicas.

    Attributes:
        masters: each holds a third of the slots.
        replicas: the first masters' replicas, in the same order; possibly none.
        password: of every node; empty for none.
    """

    masters: Sequence[Node]
    replicas: Sequence[Node]
    password: str = ""

    @property
    def url(self) -> str:
        """The URL; it names every master, so that it stays valid when one is gone."""
        user = f":{self.password}@" if self.password else ""
        return f"redis+cluster://{user}" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    @property
    def nodes(self) -> list[Node]:
        """Masters and replicas."""
        return [*self.masters, *self.replicas]

    def place(self, key: str) -> int:
        """Index of the master that was assigned the slot of ``key``."""
        slot = int(self.masters[0].client.cluster("KEYSLOT", key))
        return next(place for place in range(MASTERS) if slot < _first(place + 1))


@contextmanager
def redis_cluster(replicas: int = 0, password: str = "") -> Iterator[Cluster]:
    """Run a cluster of three masters inside the block.

    Args:
        replicas: number of masters with a replica, the first ones first.
        password: of every node; empty for none.

    Raises:
        WinnowError: the cluster does not start.
    """
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="winnow-cluster-")))
        nodes = [_start(exits, folder, port, password) for port in _free_ports(MASTERS + replicas)]
        cluster = Cluster(nodes[:MASTERS], nodes[MASTERS:], password)
        for place, node in enumerate(cluster.masters):
            node.client.cluster("ADDSLOTS", *range(_first(place), _first(place + 1)))
            node.client.cluster("SET-CONFIG-EPOCH", place + 1)
        for node in nodes[1:]:
            node.client.cluster("MEET", "127.0.0.1", nodes[0].port)
        until(lambda: all(_info(node)["cluster_known_nodes"] == str(len(nodes)) for node in nodes))
        for master, replica in zip(cluster.masters, cluster.replicas, strict=False):
            # A replica may not know a newly met master yet.
            until(lambda master=master, replica=replica: _follows(replica, master))  # type: ignore[misc]
        until(lambda: all(_info(node)["cluster_state"] == "ok" for node in nodes))
        until(lambda: all(_linked(replica) for replica in cluster.replicas))
        yield cluster


def _first(place: int) -> int:
    """The first slot of a master; for the index after the last one, the number of slots."""
    return -(-SLOTS * place // MASTERS)


def _start(exits: ExitStack, folder: Path, port: int, password: str) -> Node:
    process = server(
        folder / str(port),
        port,
        folder / f"{port}.log",
        cluster_enabled="yes",
        cluster_node_timeout=str(NODE_TIMEOUT_MS),
        # A replica may take over however old its data is: the tests kill nodes without waiting.
        cluster_replica_validity_factor="0",
        repl_diskless_sync="yes",
        repl_diskless_sync_delay="0",
        requirepass=password,
        masterauth=password,
    )
    exits.enter_context(process)
    client = exits.enter_context(Redis(host="127.0.0.1", port=port, password=password or None, socket_timeout=5.0))
    return Node(port, process, client)


def _info(node: Node) -> Any:
    return node.client.cluster("INFO")


def _follows(replica: Node, master: Node) -> bool:
    try:
        replica.client.cluster("REPLICATE", master.id)
    except RedisError:
        return False
    return True


def _linked(replica: Node) -> bool:
    replication: Any = replica.client.info("replication")
    return bool(replication.get("master_link_status") == "up")


def _free_ports(count: int) -> list[int]:
    """Ports that are free together with their cluster bus ports."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randrange(20_000, 50_000)
            with ExitStack() as pair:
                try:
                    for number in (port, port + _BUS):
                        pair.enter_context(socket.socket()).bind(("127.0.0.1", number))
                except OSError:
                    continue
                held.push(pair.pop_all())
                ports.append(port)
        return ports
