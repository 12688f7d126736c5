"""Stacks of any version of Winnow, each started by its own ``winnow up``, and the CPU time of their processes."""

import json
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from winnow import home
from winnow.errors import WinnowError
from winnow.ports import PortInUse, Ports
from winnow.release import Release, numbers

HERE = Path(__file__).parents[2]
"""The checkout of this benchmark."""

TRANSFORMER = "transformer"
EMBEDDED = ("--predictor", "embedded")
"""Options of ``winnow up`` for a transformer that computes the models itself."""

_START_S = 300
_OF_COMMAND = {
    "recommender_transformer": TRANSFORMER,
    "bloom_sidecar": "Bloom sidecar",
    "tritonserver": "Triton",
    "triton_python_backend_stub": "Triton's stubs",
    "redis-server": "Redis",
}
"""Part of the name of an executable or module -> name of the process."""


@dataclass(frozen=True)
class Served:
    """A running stack.

    Attributes:
        name: of its version in the rows.
        ports: its ports.
        supervisor: the process of ``winnow up``, the parent of all others.
    """

    name: str
    ports: Ports
    supervisor: psutil.Process

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by process name; the supervisor, which only waits, is left out."""
        spent: dict[str, float] = defaultdict(float)
        for process in self.supervisor.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent[name_of(process.cmdline())] += times.user + times.system
        return spent

    def transformers(self) -> list[psutil.Process]:
        """The processes of the transformer."""
        children = self.supervisor.children(recursive=True)
        return [process for process in children if name_of(process.cmdline()) == TRANSFORMER]


def name_of(command: Sequence[str]) -> str:
    """The name of the process with this command line, from its executable and the module after ``-m``."""
    words = command[command.index("-m") + 1 :] if "-m" in command else command
    what = Path(words[0]).name if words else ""
    return next((name for key, name in _OF_COMMAND.items() if key in what), "others")


@contextmanager
def serve(
    name: str,
    release: Release,
    checkout: Path = HERE,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Serve a release with a checkout's ``winnow up``, in a temporary home that links to the release.

    Args:
        name: of the version in the rows.
        release: a release of this home. A checkout that has a release of its own, in its ``.winnow``, serves the newest
            of those instead, which is needed where the format of releases has changed.
        checkout: with its own ``.venv``.
        options: further options of ``winnow up``.
        environment: further variables.

    Raises:
        WinnowError: the checkout has no environment, or its stack did not start; the message has the stack's.
    """
    winnow = checkout / ".venv/bin/winnow"
    if not winnow.exists():
        raise WinnowError(f"{checkout} has no {winnow.relative_to(checkout)}: run `make setup` there")
    folder = _own(checkout) or release.folder
    models = folder.parents[1] / "model_repository" / folder.name
    with tempfile.TemporaryDirectory(prefix="winnow-cost-") as temporary:
        target = Path(temporary)
        for link, to in (("releases", folder), ("model_repository", models)):
            (target / link).mkdir()
            (target / link / folder.name).symlink_to(to.resolve())
        variables = {**os.environ, **(environment or {}), "WINNOW_HOME": temporary}
        base = _free_base()
        command = [str(winnow), "up", "--detach", f"--release={folder.name}", f"--port-base={base}", *options]
        _call(command, checkout, variables)
        try:
            state = json.loads((target / "run/stack.json").read_text())
            yield Served(name, Ports.at(base), psutil.Process(state["pid"]))
        finally:
            _call([str(winnow), "down"], checkout, variables)


@contextmanager
def versions(release: Release, before: Path | None) -> Iterator[list[Served]]:
    """Serve a release by this version (``after``), with the embedded predictor, and by another checkout (``before``).

    Args:
        release: a release of this home.
        before: the other checkout, if there is one.

    Raises:
        WinnowError: a stack did not start.
    """
    with ExitStack() as exits:
        stacks = [
            exits.enter_context(serve("after", release)),
            exits.enter_context(serve("embedded", release, options=EMBEDDED)),
        ]
        if before is not None:
            stacks.append(exits.enter_context(serve("before", release, before)))
        yield stacks


def _own(checkout: Path) -> Path | None:
    """The newest release in another checkout's own home, which may be of a format that only the checkout reads."""
    releases = checkout / ".winnow/releases"
    if releases.resolve() == home.releases() or checkout == HERE:
        return None
    return max((releases / str(number) for number in numbers(releases)), key=lambda path: int(path.name), default=None)


def _call(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=_START_S)  # noqa: S603
    if done.returncode:
        raise WinnowError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _free_base() -> int:
    """The first of as many free ports in a row as a stack has."""
    for base in range(31_990, 20_000, -10):
        ports = Ports.at(base)
        try:
            ports.check_free(list(vars(ports)))
        except PortInUse:
            continue
        return base
    raise WinnowError("no free ports in a row for a stack between 20000 and 32000")
