"""Redis and, where they are needed, Triton, Milvus and the explorer: started here or already running elsewhere."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from winnow import home
from winnow.local import milvus, redis, triton
from winnow.local.processes import Process, http_ok
from winnow.ports import LOOPBACK, Ports, reached_at


@dataclass(frozen=True)
class Infrastructure:
    """Addresses of Redis, Triton and Milvus.

    Attributes:
        redis_url: ``redis://host:port/db``.
        triton: ``host:port`` of Triton's gRPC; empty where Triton is not needed.
        milvus_url: ``http://host:port``; empty where Milvus is not needed.
        processes: The processes that were started here.
    """

    redis_url: str
    triton: str
    milvus_url: str
    processes: tuple[Process, ...]


@contextmanager
def stores(
    ports: Ports,
    folder: Path,
    *,
    redis_url: str | None = None,
    needs_milvus: bool = False,
    milvus_url: str | None = None,
) -> Iterator[Infrastructure]:
    """Run Redis and, if needed, Milvus, and stop them at the end.

    Args:
        ports: Ports to listen on.
        folder: Folder for ``redis/`` and ``milvus/`` (data) and ``run/logs/``.
        redis_url: Address of a running Redis, to use instead of starting one.
        needs_milvus: Whether the items of the release are in Milvus.
        milvus_url: Address of a running Milvus, to use instead of starting one.

    Raises:
        WinnowError: A port is in use, a part did not start, or a running one cannot be used.
    """
    logs = folder / "run" / "logs"
    processes: list[Process] = []
    with ExitStack() as exits:
        if redis_url:
            redis.check(redis_url)
        else:
            ports.check_free(["redis"])
            processes.append(exits.enter_context(redis.server(folder / "redis", ports.redis, logs / "redis.log")))
        if needs_milvus and milvus_url:
            milvus.check(milvus_url)
        elif needs_milvus:
            ports.check_free(["milvus"])
            milvus_url = milvus.url(ports.milvus)
            processes.append(exits.enter_context(milvus.server(folder / "milvus", ports.milvus, logs / "milvus.log")))
        milvus_used = (milvus_url or "") if needs_milvus else ""
        yield Infrastructure(redis_url or redis.url(ports.redis), "", milvus_used, tuple(processes))


@contextmanager
def infrastructure(
    repository: Path,
    models: triton.Models,
    *,
    ports: Ports | None = None,
    folder: Path | None = None,
    redis_url: str | None = None,
    triton_url: str | None = None,
    needs_milvus: bool = False,
    milvus_url: str | None = None,
) -> Iterator[Infrastructure]:
    """Run the :func:`stores` and a Triton that serves ``models``, and stop them at the end.

    Args:
        repository: Triton's model repository of a release.
        models: Versions to serve, by model name (see ``triton.models_in``).
        ports: Ports to listen on (default: free ports).
        folder: Folder of the stores and for ``triton/`` (generated; default: a temporary folder).
        redis_url: Address of a running Redis, to use instead of starting one.
        triton_url: ``host:port`` of a running Triton's gRPC, to use instead of starting one.
        needs_milvus: Whether the items of the release are in Milvus.
        milvus_url: Address of a running Milvus, to use instead of starting one.

    Raises:
        WinnowError: A port is in use, a part did not start, or a running one cannot be used.
    """
    ports = ports or Ports.free()
    with ExitStack() as exits:
        folder = folder or Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="winnow-")))
        kept = stores(ports, folder, redis_url=redis_url, needs_milvus=needs_milvus, milvus_url=milvus_url)
        parts = exits.enter_context(kept)
        if triton_url:
            triton.check(triton_url, repository, models)
            yield replace(parts, triton=triton_url)
            return
        ports.check_free(["triton_http", "triton_grpc", "triton_metrics"])
        plain = exits.enter_context(triton.run_folder(folder / "triton"))
        log = folder / "run" / "logs" / "triton.log"
        server = exits.enter_context(triton.server(repository, models, plain, ports=ports, log=log))
        yield replace(parts, triton=f"127.0.0.1:{ports.triton_grpc}", processes=(*parts.processes, server))


def start_explorer(exits: ExitStack, folder: Path, host: str, ports: Ports, redis_url: str) -> Process:
    """Start the explorer of a stack, which is stopped with it; it shows that the recommender does not answer yet.

    It has no login, so it listens on loopback, wherever the transformer listens.

    Args:
        exits: ends it.
        folder: Folder of the logs.
        host: Address that the transformer listens on.
        ports: Of the stack.
        redis_url: Address of Redis.

    Returns:
        The process, which may not be ready yet.

    Raises:
        PortInUse: Its port is in use.
    """
    ports.check_free(["explorer"])
    # -P: a folder in the working directory must not shadow an installed package. -u: unbuffered logs.
    command = [sys.executable, "-P", "-u", "-m", "winnow.explorer", str(home.home())]
    process = Process(
        "explorer",
        [*command, f"http://{reached_at(host)}:{ports.http}", LOOPBACK, str(ports.explorer)],
        log=folder / "run" / "logs" / "explorer.log",
        environment={**os.environ, "REDIS_URL": redis_url},
        ready=lambda: http_ok(ports.explorer, "/static/explorer.css"),
    )
    exits.callback(process.stop)
    process.start()
    return process


def explorer_address(ports: Ports) -> str:
    """Where a browser on this machine finds the explorer of a stack."""
    return f"http://localhost:{ports.explorer}"
