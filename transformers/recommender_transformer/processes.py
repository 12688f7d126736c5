"""``python -m recommender_transformer.processes COUNT --metrics-port PORT ARGUMENTS...``: several transformers at once.

One process answers on one core. COUNT processes with the same ARGUMENTS listen on the same HTTP and gRPC ports, between
which the kernel spreads the connections. Each is a whole transformer, as a replica in a cluster is: with its own row
cache, circuit breakers, limits (``--max-in-flight``) and metrics, which are on a port of its own, from PORT on. They
share the memory of the release's arrays, because these are mapped from its files.

A signal ends all of them, each after its drain. A process that ends by itself ends all as well, with exit code 1: what
started this command starts it again.
"""

import argparse
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from winnow.local.processes import end_group, spawn_child

log = logging.getLogger(__name__)

MAX_PROCESSES = 64

_POLL_S = 0.2

_GRACE_S = 630.0
"""Longer than the longest drain and what follows it; what still runs then is killed."""


def main() -> None:
    """Run the processes until a signal arrives or one of them ends."""
    parser = argparse.ArgumentParser(prog="recommender_transformer.processes", allow_abbrev=False)
    parser.add_argument("count", type=int, metavar="COUNT", help="Number of processes.")
    parser.add_argument(
        "--metrics-port", type=int, required=True, help="Port of the first process's metrics; the others follow."
    )
    args, given = parser.parse_known_args()
    if not 1 <= args.count <= MAX_PROCESSES:
        parser.error(f"COUNT: must be between 1 and {MAX_PROCESSES}, got {args.count}")
    if not 1 <= args.metrics_port <= 65536 - args.count:
        parser.error(f"--metrics-port: must be between 1 and {65536 - args.count}, got {args.metrics_port}")
    command = [sys.executable, "-P", "-m", "recommender_transformer", *given, "--reuse-port"]
    sys.exit(run([[*command, f"--metrics-port={args.metrics_port + n}"] for n in range(args.count)]))


def run(commands: Sequence[Sequence[str]]) -> int:
    """Run commands until SIGTERM or SIGINT, which is passed on to all of them, or until one ends.

    Args:
        commands: the commands; each must end on SIGTERM.

    Returns:
        0 if all ended because of a signal, otherwise 1.
    """
    # Until the handlers are set a signal ends this process, and the kernel ends its children.
    children = [spawn_child(command) for command in commands]
    signals: list[int] = []

    def end_all() -> None:
        for child in children:
            child.send_signal(signal.SIGTERM)

    def pass_on(number: int, frame: FrameType | None) -> None:
        # A second signal ends the drain.
        signals.append(number)
        end_all()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    while not signals and all(child.poll() is None for child in children):
        time.sleep(_POLL_S)
    if not signals:
        ended = next(child for child in children if child.poll() is not None)
        log.error("process %d ended by itself (exit code %s): all end", ended.pid, ended.returncode)
        end_all()
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
        end_group(child, 0)
    # A child that a signal reaches before it serves has no handler yet.
    return 0 if signals and all(child.returncode in (0, -signal.SIGTERM) for child in children) else 1


if __name__ == "__main__":
    logging.basicConfig()
    main()
