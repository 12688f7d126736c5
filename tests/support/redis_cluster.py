"""A real Redis Cluster on this machine's loopback, for tests and benchmarks: there inside the block, gone outside."""

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
"""A node that is silent for so long is voted out. Redis' own default is 15 s; on loopback a second is plenty."""

_BUS = 10_000
"""Redis Cluster's nodes talk among themselves on their port plus this."""


@dataclass(frozen=True)
class Node:
    """A node of the cluster.

    Attributes:
        port: where it listens.
        process: what runs it.
        client: connection to this node alone.
    """

    port: int
    process: Process
    client: Redis

    @property
    def id(self) -> str:
        """What the other nodes call it."""
        return str(self.client.cluster("MYID").decode())

    def kill(self) -> None:
        """Kill the node with SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside the block it hangs: its connections stay, and nothing answers."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Cluster:
    """Masters, and what stands behind them.

    Attributes:
        masters: each holds a third of the slots.
        replicas: each of the master of the same place; there may be fewer of them, or none.
        password: that every node asks for; none where empty.
    """

    masters: Sequence[Node]
    replicas: Sequence[Node]
    password: str = ""

    @property
    def url(self) -> str:
        """Its address; it names every master, so that it holds when one is gone."""
        user = f":{self.password}@" if self.password else ""
        return f"redis+cluster://{user}" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    @property
    def nodes(self) -> list[Node]:
        """All of them."""
        return [*self.masters, *self.replicas]

    def place(self, key: str) -> int:
        """Which of the masters was given the slot of ``key``."""
        slot = int(self.masters[0].client.cluster("KEYSLOT", key))
        return next(place for place in range(MASTERS) if slot < _first(place + 1))


@contextmanager
def redis_cluster(replicas: int = 0, password: str = "") -> Iterator[Cluster]:
    """A cluster of three masters.

    Args:
        replicas: how many of the masters have one, the first ones first.
        password: that every node asks for; none where empty.

    Raises:
        WinnowError: it does not come about.
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
            # Who was just met may not be known well enough to be followed.
            until(lambda master=master, replica=replica: _follows(replica, master))  # type: ignore[misc]
        until(lambda: all(_info(node)["cluster_state"] == "ok" for node in nodes))
        until(lambda: all(_linked(replica) for replica in cluster.replicas))
        yield cluster


def _first(place: int) -> int:
    """The first slot of a master; of the one after the last, their number."""
    return -(-SLOTS * place // MASTERS)


def _start(exits: ExitStack, folder: Path, port: int, password: str) -> Node:
    process = server(
        folder / str(port),
        port,
        folder / f"{port}.log",
        cluster_enabled="yes",
        cluster_node_timeout=str(NODE_TIMEOUT_MS),
        # A replica takes over however long it was apart: the tests kill, they do not wait.
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
    """Ports that are free together with the ones on which the nodes talk among themselves."""
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
