"""The ports of one stack, all derived from one number so that several stacks fit side by side."""

import dataclasses
import errno
import socket
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from winnow.errors import WinnowError

# KServe's own ports for HTTP and gRPC come first.
DEFAULT_BASE = 8080


class PortInUse(WinnowError):
    """Somebody else listens where the stack wants to."""


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
        """Ports that nobody uses now, chosen by the kernel."""
        with ExitStack() as sockets:
            numbers = []
            # All held open at once, so that none is given twice.
            for _ in dataclasses.fields(cls):
                held = sockets.enter_context(socket.socket())
                held.bind(("127.0.0.1", 0))
                numbers.append(int(held.getsockname()[1]))
            return cls(*numbers)

    def numbers(self) -> tuple[int, ...]:
        """The ports in the order of the fields."""
        return dataclasses.astuple(self)

    def check_free(self, names: Collection[str]) -> None:
        """Make sure that nobody listens on the named parts' ports.

        Raises:
            PortInUse: Somebody does; names the port, the part and the remedy.
        """
        for name in names:
            port = getattr(self, name)
            with socket.socket() as probe:
                # As servers do it: a port that merely remembers a closed connection counts as free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    # All addresses: the KServe server listens on them all.
                    probe.bind(("", port))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                    raise PortInUse(
                        f"port {port} ({name}) is in use; stop what listens there, or choose others with --port-base"
                    ) from None
