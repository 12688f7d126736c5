"""``python -m bloom_sidecar --release-dir DIR``: apply the event stream to the histories and filters of a release.

The address of Redis comes from ``REDIS_URL`` (:mod:`winnow.store.connection`). Command lines are visible to all users
of a machine, so ``--redis-url`` is only for addresses without a password.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from bloom_sidecar import health
from bloom_sidecar.consumer import Consumer
from winnow.bloom.seen import WINDOW_DAYS
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.store.connection import LOCAL, connect
from winnow.store.publish import check_published


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="bloom_sidecar", description="Apply the event stream to the histories and Bloom filters of a release."
    )
    parser.add_argument("--release-dir", type=Path, required=True, help="Folder of the release.")
    parser.add_argument(
        "--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Address of Redis. Default: $REDIS_URL."
    )
    parser.add_argument("--health-port", type=int, default=8090, help="Port of /health, /ready and /metrics.")
    parser.add_argument(
        "--health-host", default="", help="Address that /health, /ready and /metrics listen on; empty: all."
    )
    parser.add_argument(
        "--window-days",
        type=int,
        default=WINDOW_DAYS,
        help="Window length of the seen filters: a seen item is remembered for one to two windows.",
    )
    args = parser.parse_args()
    if args.window_days < 1:
        parser.error(f"--window-days: must be at least 1, got {args.window_days}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        release = Release.open(args.release_dir)
        client = connect(args.redis_url)
        check_published(client, args.redis_url, release)
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    name = f"{socket.gethostname()}-{os.getpid()}"
    consumer = Consumer(client, release, name, args.window_days * 86_400_000)
    server = health.serve(args.health_host, args.health_port, lambda: consumer.alive, lambda: consumer.ready)
    consumer.run(stop)
    server.shutdown()
    client.close()


if __name__ == "__main__":
    main()
