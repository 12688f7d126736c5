"""``python -m recommender_transformer --release-dir DIR --predictor_host HOST:PORT``: serve a release.

With ``--model-repository DIR`` in place of ``--predictor_host`` this process computes the models itself, without
Triton. The URL of Redis is ``$REDIS_URL`` (see ``winnow.store.connection``) or ``--redis-url``; where the items are in
Milvus, its address is ``$MILVUS_URL`` (see ``winnow.milvus.connection``). Command lines are visible to other users of
the machine, so use the variable for a URL with a password. All flags of KServe's model server work too
(``--http_port``, ``--grpc_port``, …).
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import uvloop
from kserve import logging as kserve_logging  # type: ignore[import-untyped]
from kserve import model_server as kserve_server
from prometheus_client import start_http_server

from recommender_transformer.arguments import REUSE_S, parse
from recommender_transformer.backends import live_items
from recommender_transformer.backends.followed.live_users import LiveUsers
from recommender_transformer.backends.milvus import MilvusItems
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.backends.predictor.embedded import EmbeddedModels
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.backends.predictor.triton import TritonModels
from recommender_transformer.backends.row_metrics import observe, watch
from recommender_transformer.derivation.apply import CatalogChanges
from recommender_transformer.derivation.derive import Derivation
from recommender_transformer.derivation.follow import Follower
from recommender_transformer.funnel.components import Pipeline
from recommender_transformer.funnel.reuse.held_answers import HeldAnswers
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from recommender_transformer.serving.access.control import AccessControl
from recommender_transformer.serving.connections.admission import MAX_IN_FLIGHT, AdmissionControl
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits, raise_open_files
from recommender_transformer.serving.drain import DRAIN_S
from recommender_transformer.serving.events import EventsModel
from recommender_transformer.serving.items import ItemsModel
from recommender_transformer.serving.openapi import serve_document
from recommender_transformer.serving.recommender import RecommenderModel
from recommender_transformer.serving.server import model_server
from recommender_transformer.serving.startup_check import check_backends
from recommender_transformer.serving.users import UsersModel
from winnow.errors import WinnowError
from winnow.feedback.append import AppendOptions
from winnow.milvus.collection import is_searched
from winnow.milvus.connection import address
from winnow.ports import EVERYWHERE
from winnow.proxies import bypass_loopback
from winnow.release import Release
from winnow.settings.experiments import Experiments, read
from winnow.store.connection import RedisError


def main() -> None:
    """Check that Redis and Triton hold the release, then serve until a signal stops the process."""
    bypass_loopback()
    args = parse()
    try:
        release = Release.open(args.release_dir)
        experiments = read(args.experiments, release.schema.events) if args.experiments else Experiments()
        milvus_url = address() if is_searched(release) else ""
        access = AccessControl(args.access, args.redis_url) if args.access else None
        check_backends(release, args.redis_url, args.predictor_host or args.model_repository, milvus_url)
    except WinnowError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    serve(
        release,
        args.redis_url,
        lambda: _models(release, args.predictor_host or args.model_repository),
        deadline_ms=args.deadline_ms,
        http_port=args.http_port,
        grpc_port=args.grpc_port,
        max_in_flight=args.max_in_flight,
        drain_s=args.drain_seconds,
        event_limits=AppendOptions(args.event_stream_max, args.event_replicas),
        connection_limits=ConnectionLimits(args.max_connections, args.max_connections_per_client),
        host=args.host,
        milvus_url=milvus_url,
        reuse_s=args.reuse_seconds,
        explore=args.explore,
        experiments=experiments,
        reuse_port=args.reuse_port,
        metrics_port=args.metrics_port,
        standby_port=args.standby_port,
        access=access,
    )


def _models(release: Release, predictor: str | Path) -> Models:
    """The models in Triton at an address, or those of a model repository in this process."""
    if isinstance(predictor, Path):
        return EmbeddedModels(release, predictor)
    return TritonModels(predictor, release.manifest.number)


def serve(
    release: Release,
    redis_url: str,
    models: Callable[[], Models],
    deadline_ms: int,
    http_port: int,
    grpc_port: int,
    max_in_flight: int = MAX_IN_FLIGHT,
    drain_s: float = DRAIN_S,
    event_limits: AppendOptions = AppendOptions(),  # noqa: B008
    connection_limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008
    host: str = EVERYWHERE,
    milvus_url: str = "",
    reuse_s: float = REUSE_S,
    explore: float = 0.0,
    experiments: Experiments = Experiments(),  # noqa: B008
    reuse_port: bool = False,
    metrics_port: int | None = None,
    standby_port: int | None = None,
    access: AccessControl | None = None,
) -> None:
    """Serve ``release`` until SIGTERM or SIGINT.

    Args:
        release: the release to serve.
        redis_url: URL of its online store.
        models: creates the client of its models; called inside the event loop.
        deadline_ms: deadline of requests without their own.
        http_port: port of the v1 and v2 protocols over HTTP.
        grpc_port: port of the v2 protocol over gRPC.
        max_in_flight: recommendations in flight; further ones are rejected, except in short bursts.
        drain_s: seconds to keep serving after SIGTERM.
        event_limits: bound of the event stream, and the replicas that must hold an event before it is acknowledged.
        connection_limits: bounds on HTTP connections.
        host: address that HTTP and gRPC listen on.
        milvus_url: address of Milvus; empty for a release that is not searched there.
        reuse_s: age up to which an answer is reused; 0 reuses none.
        explore: share of the lists that are explored; 0 explores none.
        experiments: the experiments that users take part in.
        reuse_port: whether other processes listen on the same ports. The process listens once it is connected, and
            ``/metrics`` is on ``metrics_port`` only.
        metrics_port: a further port for the metrics; `None` for none.
        standby_port: HTTP port on loopback that is served at once, while the other ports are taken and left on signals.
        access: admits or refuses calls by their keys; `None` admits all.
    """
    if metrics_port is not None:
        start_http_server(metrics_port, host)
    raise_open_files()
    store = OnlineStore(release, redis_url, observe=observe)
    watch(store)
    live_users = LiveUsers(release, redis_url)
    tasks: list[asyncio.Task[None]] = []
    runners: list[Runner] = []

    @cache
    def milvus_items() -> MilvusItems | None:
        return MilvusItems(release, milvus_url) if milvus_url else None

    connected_models = cache(models)

    @cache
    def pipeline() -> Pipeline:
        return recommender(release, store, connected_models(), milvus_items(), reuse_s, explore, experiments)

    @cache
    def derivation() -> Derivation:
        return Derivation(release, store, connected_models(), pipeline().media_decoder)

    async def connect() -> Runner:
        runner = Runner(pipeline(), store.cold_start_state, deadline_ms)
        runners.append(runner)
        follower = Follower(store, derivation(), release.manifest.catalog_position)
        live = live_items.follow(store, redis_url, await follower.start())
        await store.rules.try_to_look()
        followed = [live, follower.follow(redis_url), store.lists.follow(), store.rules.follow()]
        followed += [pipeline().ids.key.follow(), *([] if access is None else [access.follow()])]
        tasks.extend(map(asyncio.create_task, followed))
        await runner.warm_up()
        if (searched := milvus_items()) is not None:
            await searched.warm_up()
        # Modules live as long as the process. Without this, each full collection would traverse their objects and stop
        # the event loop for a tenth of a second.
        gc.collect()
        gc.freeze()
        return runner

    async def connect_items() -> CatalogChanges:
        return CatalogChanges(store, derivation())

    async def connect_store() -> OnlineStore:
        return store

    async def connect_users() -> LiveUsers:
        with suppress(RedisError, OSError, WinnowError):
            await live_users.catch_up(store.client)
        [held] = [one for one in pipeline().side_effects if isinstance(one, HeldAnswers)]
        tasks.append(asyncio.create_task(live_users.follow(store.client, held.clear)))
        return live_users

    async def flush() -> None:
        for task in tasks:
            task.cancel()
        for runner in runners:
            await runner.close()
        if runners and (searched := milvus_items()) is not None:
            await searched.close()
        live_users.close()
        await store.close()

    # KServe runs its servers under plain asyncio, whatever its --event-loop is.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    # It also needs a current loop before it runs one of its own.
    asyncio.set_event_loop(asyncio.new_event_loop())
    server = model_server(
        http_port,
        grpc_port,
        AdmissionControl(max_in_flight),
        drain_s,
        flush,
        connection_limits,
        host,
        reuse_port,
        standby_port,
        access,
    )
    serve_document(kserve_server.app, release.manifest.number)
    kserve_logging.logger.setLevel(logging.WARNING)
    kserve_logging.trace_logger.setLevel(logging.WARNING)
    # Without a handler uvicorn does not even format its line per request.
    access_log = logging.getLogger("uvicorn.access")
    access_log.handlers.clear()
    access_log.propagate = False
    server.start(
        [
            RecommenderModel(release.manifest.number, connect),
            EventsModel(release, connect_store, event_limits),
            ItemsModel(release, store, connect_items, lambda: pipeline().media_decoder),
            UsersModel(live_users, connect_users),
        ]
    )


if __name__ == "__main__":
    main()
