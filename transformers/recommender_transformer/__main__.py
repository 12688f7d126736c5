"""``python -m recommender_transformer --release-dir DIR --predictor_host HOST:PORT``: serve a release.

Redis is where ``REDIS_URL`` says (see :mod:`winnow.store.connection`). ``--redis-url`` says so for everybody to see, so
it is for addresses without a password.
Every flag of KServe's model server works too (``--http_port``, ``--grpc_port``, …).
"""

import argparse
import asyncio
import gc
import logging
import os
import resource
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import uvloop
from kserve import logging as kserve_logging  # type: ignore[import-untyped]
from kserve import model_server as kserve_server

from recommender_transformer.backends import new_items
from recommender_transformer.backends.models import Models
from recommender_transformer.backends.online import OnlineStore
from recommender_transformer.backends.row_metrics import observe, watch
from recommender_transformer.backends.triton import TritonModels
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.runner import DEADLINE_MS, Runner
from recommender_transformer.pipeline import recommender
from recommender_transformer.serving.check import check
from recommender_transformer.serving.connections.admission import MAX_IN_FLIGHT, InFlight
from recommender_transformer.serving.connections.waiting import Bounds
from recommender_transformer.serving.drain import DRAIN_S, MAX_DRAIN_S
from recommender_transformer.serving.events import EventsModel
from recommender_transformer.serving.items import ItemsModel
from recommender_transformer.serving.recommender import RecommenderModel
from recommender_transformer.serving.server import model_server
from winnow.errors import WinnowError
from winnow.feedback.append import AppendOptions
from winnow.ports import EVERYWHERE
from winnow.proxies import bypass_loopback
from winnow.release import Release
from winnow.store.connection import LOCAL, RedisError

_FILES = 16_384


def main() -> None:
    """Check that the parts belong to one release, then serve until told to stop."""
    bypass_loopback()
    parser = argparse.ArgumentParser(prog="recommender_transformer", parents=[kserve_server.parser])
    parser.add_argument("--release-dir", type=Path, required=True, help="The folder of the release to serve.")
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Default: $REDIS_URL.")
    parser.add_argument("--host", default=EVERYWHERE, help="The address that HTTP and gRPC listen on; by default all.")
    parser.add_argument("--deadline-ms", type=int, default=DEADLINE_MS, help="For requests without their own.")
    parser.add_argument(
        "--max-in-flight",
        type=int,
        default=MAX_IN_FLIGHT,
        help="More recommendations at once (for more than a moment) are refused.",
    )
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=DRAIN_S,
        help="How long to serve on after SIGTERM, not ready any more, until requests come no longer.",
    )
    parser.add_argument(
        "--max-connections",
        type=int,
        default=Bounds().connections,
        help="HTTP connections that send a request, and as many that lie idle; beyond it those furthest behind are "
        "closed.",
    )
    parser.add_argument(
        "--max-connections-per-client",
        type=int,
        default=Bounds().per_client,
        help="Of these, from one address. Behind a gateway all clients have the gateway's.",
    )
    parser.add_argument(
        "--event-stream-max",
        type=int,
        default=AppendOptions().maximum,
        help="Entries of the event stream; beyond them events are refused until `winnow events export` makes room.",
    )
    parser.add_argument(
        "--event-replicas",
        type=int,
        default=AppendOptions().replicas,
        help="Replicas of Redis that must hold an event before it is acknowledged.",
    )
    args = parser.parse_args()
    if not args.predictor_host:
        parser.error("--predictor_host is required: HOST:PORT of Triton's gRPC endpoint")
    if args.max_in_flight < 1:
        parser.error(f"--max-in-flight: must be at least 1, got {args.max_in_flight}")
    if args.max_connections < 1:
        parser.error(f"--max-connections: must be at least 1, got {args.max_connections}")
    if args.max_connections_per_client < 1:
        parser.error(f"--max-connections-per-client: must be at least 1, got {args.max_connections_per_client}")
    if not 0 <= args.drain_seconds <= MAX_DRAIN_S:
        parser.error(f"--drain-seconds: must be between 0 and {MAX_DRAIN_S:g}, got {args.drain_seconds:g}")
    if args.event_stream_max < 1:
        parser.error(f"--event-stream-max: must be at least 1, got {args.event_stream_max}")
    if args.event_replicas < 0:
        parser.error(f"--event-replicas: must be at least 0, got {args.event_replicas}")
    try:
        release = Release.open(args.release_dir)
        check(release, args.redis_url, args.predictor_host)
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    serve(
        release,
        args.redis_url,
        lambda: TritonModels(args.predictor_host, release.manifest.number),
        deadline_ms=args.deadline_ms,
        http_port=args.http_port,
        grpc_port=args.grpc_port,
        max_in_flight=args.max_in_flight,
        drain_s=args.drain_seconds,
        limits=AppendOptions(args.event_stream_max, args.event_replicas),
        bounds=Bounds(args.max_connections, args.max_connections_per_client),
        host=args.host,
    )


def serve(
    release: Release,
    redis_url: str,
    models: Callable[[], Models],
    deadline_ms: int,
    http_port: int,
    grpc_port: int,
    max_in_flight: int = MAX_IN_FLIGHT,
    drain_s: float = DRAIN_S,
    limits: AppendOptions = AppendOptions(),  # noqa: B008
    bounds: Bounds = Bounds(),  # noqa: B008
    host: str = EVERYWHERE,
) -> None:
    """Serve ``release`` until SIGTERM or SIGINT.

    Args:
        release: what to serve.
        redis_url: where its online store is.
        models: gives its models; called inside the event loop.
        deadline_ms: for requests without their own.
        http_port: for the v1 and v2 protocols.
        grpc_port: for the v2 protocol.
        max_in_flight: recommendations at once; more are refused.
        drain_s: how long to serve on after SIGTERM, seconds.
        limits: what an event has to meet before it is acknowledged.
        bounds: what connections may claim that keep the server waiting.
        host: the address that HTTP and gRPC listen on.
    """
    _allow_files()
    store = OnlineStore(release, redis_url, observe=observe)
    watch(store)
    background: list[asyncio.Task[None]] = []
    runners: list[Runner] = []

    @cache
    def pipeline() -> Pipeline:
        return recommender(release, store, models())

    async def connect() -> Runner:
        runner = Runner(pipeline(), store.stranger, deadline_ms)
        runners.append(runner)
        background.append(asyncio.create_task(new_items.follow(store, redis_url, await _caught_up(store))))
        await runner.warm_up()
        # What was imported stays; looking through it again and again would stop everything for a tenth of a second.
        gc.collect()
        gc.freeze()
        return runner

    async def connect_items() -> Pipeline:
        return pipeline()

    async def connect_store() -> OnlineStore:
        return store

    async def finish() -> None:
        for task in background:
            task.cancel()
        for runner in runners:
            await runner.close()
        await store.close()

    # KServe runs its servers under plain asyncio whatever its --event-loop says.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    # It also asks for a loop before it runs one of its own.
    asyncio.set_event_loop(asyncio.new_event_loop())
    server = model_server(http_port, grpc_port, InFlight(max_in_flight), drain_s, finish, bounds, host)
    kserve_logging.logger.setLevel(logging.WARNING)
    kserve_logging.trace_logger.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    server.start(
        [
            RecommenderModel(release.manifest.number, connect),
            EventsModel(release, connect_store, limits),
            ItemsModel(release, store, connect_items),
        ]
    )


def _allow_files() -> None:
    """Connections are files, and more of them are allowed than a shell gives a process by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _caught_up(store: OnlineStore) -> str:
    """The position of the stream of fresh items after reading it all; its beginning where Redis is away."""
    try:
        return await new_items.catch_up(store)
    except (RedisError, OSError):
        return "0"


if __name__ == "__main__":
    main()
