"""What does it cost? Training and requests beside those of another revision of the code, on the same data.

Both revisions build the demo marketplace without its dislikes, which a revision without negative events would refuse.
Their stacks run at the same time and take turns, so that a noisy machine affects both alike.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from benchmarks.common.rows import Row, row
from benchmarks.value.subjects import Subjects
from tests.support.paths import ROOT
from winnow import home
from winnow.datasets.canonical.spec import FILE
from winnow.datasets.marketplace import generated
from winnow.datasets.marketplace.behaviour import EVENTS
from winnow.errors import WinnowError
from winnow.ports import PortInUse, Ports

REQUESTS, WARM_UP, USERS, K = 300, 30, 200, 10
_LONGEST_S = 3600


def measure(subjects: Subjects, before: str) -> list[Row]:
    """Seconds of the training step and milliseconds of a request, of this code and of the revision ``before``.

    Raises:
        WinnowError: the revision does not exist, or one of the two did not build.
    """
    data = _without_dislikes(generated(home.home() / "marketplace", subjects.size))
    users = pq.read_table(data / "users.parquet")["user_id"].to_pylist()[:USERS]
    with (
        _worktree(before) as tree,
        tempfile.TemporaryDirectory(prefix="winnow-cost-") as scratch,
        ExitStack() as stacks,
    ):
        codes = {"before": _Code(tree, Path(scratch) / "before"), "now": _Code(ROOT, Path(scratch) / "now")}
        seconds = {name: code.build(data) for name, code in codes.items()}
        ports = {name: stacks.enter_context(code.serving()) for name, code in codes.items()}
        times = _requests(ports, users)
    rows = []
    for name in codes:
        rows.append(row(f"training, {name}", seconds[name], "s"))
        rows += [
            row(f"request over HTTP, {name}, p{at}", float(np.percentile(times[name], at)), "ms") for at in (50, 99)
        ]
    medians = {name: float(np.median(times[name])) for name in codes}
    return [
        *rows,
        row(f"training, now / {before}", seconds["now"] / seconds["before"], "x", "<= 1.15"),
        row(f"request, p50, now / {before}", medians["now"] / medians["before"], "x", "<= 1.15"),
    ]


class _Code:
    """A revision of the code with a home of its own; it runs in this environment.

    Args:
        tree: its working tree.
        folder: the home.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        path = os.pathsep.join(str(tree / part) for part in ("", "transformers"))
        self._environment = os.environ | {"WINNOW_HOME": str(folder), "PYTHONPATH": path}
        self._tree, self._folder = tree, folder

    def build(self, data: Path) -> float:
        """Build a release; the result is the seconds of its training step."""
        self._winnow("build", "--data", str(data))
        ends = {
            step: next(self._folder.glob(f"pipelines/*/{step}/executor_output.json")) for step in ("extract", "train")
        }
        return ends["train"].stat().st_mtime - ends["extract"].stat().st_mtime

    @contextmanager
    def serving(self) -> Iterator[Ports]:
        """Serve the release."""
        ports = _consecutive()
        self._winnow("up", "--detach", "--port-base", str(ports.http))
        try:
            yield ports
        finally:
            self._winnow("down")

    def _winnow(self, *arguments: str) -> None:
        command = [sys.executable, "-P", "-c", "from winnow.cli.app import app; app()", *arguments]
        # The steps of a build import from the working directory before PYTHONPATH.
        ended = subprocess.run(  # noqa: S603
            command,
            cwd=self._tree,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        if ended.returncode:
            raise WinnowError(f"winnow {' '.join(arguments)} failed: {ended.stderr[-2000:]}")


def _requests(ports: dict[str, Ports], users: list[str]) -> dict[str, list[float]]:
    """Milliseconds of requests that take turns."""
    times: dict[str, list[float]] = {name: [] for name in ports}
    with ExitStack() as connections:
        asked = {
            name: connections.enter_context(closing(HTTPConnection("127.0.0.1", each.http, timeout=30)))
            for name, each in ports.items()
        }
        for turn in range(WARM_UP + REQUESTS):
            body = json.dumps({"instances": [{"user_id": users[turn % len(users)], "k": K}]})
            for name, connection in asked.items():
                started = time.perf_counter()
                connection.request("POST", "/v1/models/recommender:predict", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status != 200:
                    raise WinnowError(f"the endpoint of the code {name} refused: {answer!r:.200}")
                if turn >= WARM_UP:
                    times[name].append(1000 * (time.perf_counter() - started))
    return times


def _consecutive() -> Ports:
    """Consecutive free ports, which is the form that the command line takes."""
    for base in range(20_000, 60_000, 100):
        ports = Ports.at(base)
        with suppress(PortInUse):
            ports.check_free([field.name for field in fields(Ports)])
            return ports
    raise WinnowError("no seven consecutive ports are free")


@contextmanager
def _worktree(revision: str) -> Iterator[Path]:
    """A working tree of a revision, with Triton and Redis of this one; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="winnow-before-") as folder:
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(tree), revision)
        for name in (".tools", ".venv-triton"):
            if (ROOT / name).exists():
                (tree / name).symlink_to((ROOT / name).resolve())
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    git = shutil.which("git") or "git"
    ended = subprocess.run([git, "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode:
        raise WinnowError(f"git {' '.join(arguments)}: {ended.stderr.strip()}")


def _without_dislikes(folder: Path) -> Path:
    """A copy of the marketplace with the types of positive value, in the form that every revision reads."""
    positive = {name: value for name, value in EVENTS.items() if value > 0}
    copy = folder.parent / f"{folder.name}-positive"
    shutil.copytree(folder, copy, copy_function=os.link)
    events = pq.read_table(copy / "events.parquet")
    spec = yaml.safe_load((copy / FILE).read_text())
    columns = {"items": {"categorical": spec["items"]["categorical"]}, "users": spec["users"]}
    described = {"name": "marketplace", "events": positive, "conversions": ["purchase"], **columns}
    for name in ("events.parquet", FILE):
        (copy / name).unlink()
    pq.write_table(
        events.filter(pc.is_in(events["event"], value_set=pa.array(list(positive)))), copy / "events.parquet"
    )
    (copy / FILE).write_text(yaml.safe_dump(described))
    return copy
