"""The ports of a stack: consecutive from one base, so that several stacks run side by side."""

import dataclasses
import errno
import socket
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from winnow.errors import WinnowError

# KServe's own ports for HTTP and gRPC come first.
DEFAULT_BASE = 8080

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (bound on request, and in a container)


class PortInUse(WinnowError):
    """Another process listens on a port of the stack."""


@dataclass(frozen=True)
class Ports:
    """The port of each component."""

    http: int
    grpc: int
    redis: int
    triton_http: int
    triton_grpc: int
    triton_metrics: int
    sidecar: int
    milvus: int
    explorer: int

    @classmethod
    def at(cls, base: int = DEFAULT_BASE) -> Self:
        """Nine consecutive ports, the first of them ``base``.

        Raises:
            WinnowError: the ports do not fit between 1024 and 65535.
        """
        count = len(dataclasses.fields(cls))
        if not 1024 <= base <= 65536 - count:
            raise WinnowError(f"port base {base} is out of range; choose one from 1024 to {65536 - count}")
        return cls(*range(base, base + count))

    @classmethod
    def free(cls) -> Self:
        """Free ports, chosen by the kernel."""
        with ExitStack() as sockets:
            numbers = []
            # Every socket stays open until the last is bound, so that the kernel gives each port once.
            for _ in dataclasses.fields(cls):
                held = sockets.enter_context(socket.socket())
                held.bind((LOOPBACK, 0))
                numbers.append(int(held.getsockname()[1]))
            return cls(*numbers)

    def numbers(self) -> tuple[int, ...]:
        """The ports in the order of the fields."""
        return dataclasses.astuple(self)

    def check_free(self, names: Collection[str], host: str = LOOPBACK) -> None:
        """Check that the ports of the named components can be bound.

        Args:
            names: fields of this class.
            host: the address that will be bound.

        Raises:
            PortInUse: another process listens on one; the message has port, component and remedy.
            WinnowError: ``host`` is not an address of this machine.
        """
        for name in names:
            port = getattr(self, name)
            with socket.socket() as probe:
                # As servers do: a port in TIME_WAIT counts as free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        raise PortInUse(
                            f"port {port} ({name}) is in use; stop the process that listens there, or choose other "
                            "ports with --port-base"
                        ) from None
                    if error.errno != errno.EADDRNOTAVAIL:
                        raise
                    raise WinnowError(
                        f"this machine has no address {host}; give --host one of its addresses, or {EVERYWHERE} for all"
                    ) from None


def checked_host(host: str) -> str:
    """Validate an address to listen on.

    Raises:
        WinnowError: ``host`` is not an IPv4 address.
    """
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise WinnowError(
            f"--host must be an IPv4 address of this machine, got {host!r}; {LOOPBACK} accepts connections from this "
            f"machine alone, {EVERYWHERE} from all its networks"
        ) from None


def reached_at(host: str) -> str:
    """The address at which this machine reaches a server that listens on ``host``."""
    return LOOPBACK if host == EVERYWHERE else host
