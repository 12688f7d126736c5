"""A transformer of a real release, beside a running stack."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.local.processes import Process, http_ok
from winnow.ports import Ports
from winnow.release import Release


@contextmanager
def transformer(
    served: Release, ports: Ports, redis_url: str, *flags: str, repository: Path | None = None
) -> Iterator[tuple[Process, int]]:
    """Start one more transformer beside a stack; gives the process and its HTTP port.

    Args:
        served: the release.
        ports: of the stack, whose Triton it uses.
        redis_url: of the stack's Redis, or of a proxy before it.
        flags: more command-line flags.
        repository: model repository of the release, to compute its models in place of the stack's Triton.
    """
    own = Ports.free()
    predictor = [f"--predictor_host=127.0.0.1:{ports.triton_grpc}", "--predictor_protocol=grpc-v2"]
    command = [
        *(sys.executable, "-P", "-m", "recommender_transformer"),
        *(f"--release-dir={served.folder}", f"--redis-url={redis_url}"),
        *([f"--model-repository={repository}"] if repository else predictor),
        *("--host=127.0.0.1", f"--http_port={own.http}", f"--grpc_port={own.grpc}", *flags),
    ]
    with tempfile.TemporaryDirectory(prefix="winnow-transformer-") as folder:
        process = Process(
            "transformer",
            command,
            log=Path(folder) / "transformer.log",
            ready=lambda: http_ok(own.http, "/v2/models/recommender/ready"),
            timeout=120.0,
            grace=30.0,
        )
        with process:
            yield process, own.http
