"""The ports of one stack, all derived from one number so that several stacks fit side by side."""

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
EVERYWHERE = "0.0.0.0"  # noqa: S104 (bound to where it is asked for, and in a container)


class PortInUse(WinnowError):
    """Another process listens where the stack wants to."""


@dataclass(frozen=True)
class Ports:
    """Where each part listens."""

    http: int
    grpc: int
    redis: int
    triton_http: int
    triton_grpc: int
    triton_metrics: int
    sidecar: int

    @classmethod
    def at(cls, base: int = DEFAULT_BASE) -> Self:
        """The seven ports from ``base`` on.

        Raises:
            WinnowError: They do not fit between 1024 and 65535.
        """
        count = len(dataclasses.fields(cls))
        if not 1024 <= base <= 65536 - count:
            raise WinnowError(f"port base {base} is out of range; choose one from 1024 to {65536 - count}")
        return cls(*range(base, base + count))

    @classmethod
    def free(cls) -> Self:
        """Ports that are free now, chosen by the kernel."""
        with ExitStack() as sockets:
            numbers = []
            # All held open at once, so that none is given twice.
            for _ in dataclasses.fields(cls):
                held = sockets.enter_context(socket.socket())
                held.bind((LOOPBACK, 0))
                numbers.append(int(held.getsockname()[1]))
            return cls(*numbers)

    def numbers(self) -> tuple[int, ...]:
        """The ports in the order of the fields."""
        return dataclasses.astuple(self)

    def check_free(self, names: Collection[str], host: str = LOOPBACK) -> None:
        """Make sure that the named parts' ports can be bound.

        Args:
            names: Fields of this class.
            host: The address that will be bound.

        Raises:
            PortInUse: Another process listens there; names the port, the part and the remedy.
            WinnowError: ``host`` is not an address of this machine.
        """
        for name in names:
            port = getattr(self, name)
            with socket.socket() as probe:
                # As servers do it: a port that merely remembers a closed connection counts as free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        raise PortInUse(
                            f"port {port} ({name}) is in use; stop what listens there, or choose others with "
                            "--port-base"
                        ) from None
                    if error.errno != errno.EADDRNOTAVAIL:
                        raise
                    raise WinnowError(
                        f"this machine has no address {host}; give --host one that it has, or {EVERYWHERE} for all"
                    ) from None


def checked_host(host: str) -> str:
    """An address to listen on, if it is one.

    Raises:
        WinnowError: It is not an IPv4 address.
    """
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise WinnowError(
            f"--host must be an IPv4 address of this machine, got {host!r}; {LOOPBACK} is this machine alone, "
            f"{EVERYWHERE} every network that it is on"
        ) from None


def reached_at(host: str) -> str:
    """The address at which this machine asks what listens on ``host``."""
    return LOOPBACK if host == EVERYWHERE else host
