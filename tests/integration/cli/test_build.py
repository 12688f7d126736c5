"""``winnow build`` as a process: one per home, ended with its parent, and resumed after a failure."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.small_shop import small_shop
from winnow.release import Release
from winnow.result import RunResult

WINNOW = Path(sys.executable).with_name("winnow")
PATIENCE_SECONDS = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return small_shop(tmp_path / "shop")


class Building:
    """A running build."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.errors = home.with_name("build.err")
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [WINNOW, "build", *arguments],
                env=os.environ | {"WINNOW_HOME": str(home), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.family: list[psutil.Process] = []

    def step(self, name: str) -> psutil.Process:
        """The process of a step, once it runs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.errors.read_text()
            self.family = psutil.Process(self.process.pid).children(recursive=True)
            if f"▸ {name}" in self.errors.read_text():
                for child in self.family:
                    if is_step(child):
                        return child
            time.sleep(0.05)
        raise AssertionError(f"step {name} never ran")

    def finish(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        printed, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, printed, self.errors.read_text()


def is_step(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return command[1:3] == ["-m", "kfp.dsl.executor_main"]


@pytest.fixture
def build(home: Path) -> Iterator[Callable[..., Building]]:
    """Start builds; all end with the test."""
    started: list[Building] = []
    # Background jobs of a shell ignore SIGINT, and child processes inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*arguments: str) -> Building:
        started.append(Building(home, *arguments))
        return started[-1]

    yield start
    signal.signal(signal.SIGINT, before)
    for building in started:
        if building.process.poll() is None:
            building.process.kill()
        building.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_terminated_build_ends_all_its_processes(
    build: Callable[..., Building], shop: Path, number: signal.Signals
) -> None:
    building = build(f"--data={shop}")
    building.step("ingest")
    assert len(building.family) >= 2
    building.process.send_signal(number)
    code = building.process.wait(timeout=20)
    assert code == (130 if number == signal.SIGINT else -number)
    _, alive = psutil.wait_procs(building.family, timeout=20)
    assert alive == []


def test_a_step_does_not_outlive_the_pipeline(build: Callable[..., Building], shop: Path) -> None:
    building = build(f"--data={shop}")
    step = building.step("ingest")
    [pipeline] = psutil.Process(building.process.pid).children()
    pipeline.kill()
    code, printed, errors = building.finish()
    assert (code, printed) == (1, "")
    assert errors.splitlines()[-1].startswith("winnow: the pipeline's process was ended (signal SIGKILL)")
    _, alive = psutil.wait_procs([step], timeout=20)
    assert alive == []


def test_a_second_build_in_a_home_is_refused_and_the_first_continues(
    build: Callable[..., Building], home: Path, shop: Path
) -> None:
    first = build(f"--data={shop}")
    first.step("ingest")
    refused = subprocess.run(
        [WINNOW, "build", f"--data={shop}"],
        env=os.environ | {"WINNOW_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"winnow: a build runs already in {home}; wait until it has ended")
    assert len(refused.stderr.splitlines()) == 1
    assert first.process.poll() is None


def test_a_failed_build_resumes_after_its_last_completed_step(
    build: Callable[..., Building], home: Path, shop: Path
) -> None:
    failing = build(f"--data={shop}")
    failing.step("train").kill()
    code, _, errors = failing.finish()
    assert code == 1
    last = errors[errors.index("winnow: ") :].splitlines()
    assert last[0].startswith("winnow: step train failed unexpectedly; once its cause is fixed, --resume continues")
    assert "The whole log: " in last[0]
    assert not list(home.glob("releases/*"))

    code, _, errors = build(f"--data={shop}", "--resume", "--holdout=last").finish()
    assert code == 1
    assert " differs: it had holdout 'none', not 'last'" in errors

    code, printed, errors = build(f"--data={shop}", "--resume").finish()
    assert code == 0, errors
    assert printed == f"release 1: {home / 'releases' / '1'}\n"
    assert "continues after its step extract" in errors
    assert [line for line in errors.splitlines() if line.startswith("▸")] == ["▸ train", "▸ release"]
    # Thirty users of four events each cannot validate a ranker: the release and the console report it.
    assert "no ranker was learned, recommendations come in the order of the sources" in errors
    release = Release.open(home / "releases" / "1")
    assert release.manifest.unranked.startswith("the log gives only ")
    # What the explorer reads.
    assert release.array("item_events").sum() == len(release.array("item")) == 120
    assert release.array("map_items").tolist() == list(range(1, release.items + 1))
    assert release.array("map_points").shape == (release.items, 2)

    code, _, errors = build(f"--data={shop}", "--resume").finish()
    assert code == 1
    assert errors == "winnow: --resume: no build of this home is unfinished; build without --resume to start one\n"


def test_changed_files_start_another_build(build: Callable[..., Building], shop: Path) -> None:
    failing = build(f"--data={shop}")
    failing.step("ingest").kill()
    assert failing.finish()[0] == 1
    (shop / "items.csv").write_text((shop / "items.csv").read_text() + "\ni8")
    code, _, errors = build(f"--data={shop}", "--resume").finish()
    assert code == 1
    assert errors.count("\n") == 1
    assert f"files of {shop} have changed since" in errors


@pytest.mark.parametrize("command", ["build", "demo"])
def test_an_unusable_home_is_reported_in_one_sentence(command: str, tmp_path: Path, shop: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = subprocess.run(
        [WINNOW, command, f"--data={shop}"],
        env=os.environ | {"WINNOW_HOME": str(tmp_path / "file" / "home")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"winnow: {tmp_path / 'file'}")
    assert "Not a directory" in refused.stderr


def test_a_checkout_in_a_folder_with_a_space_builds(tmp_path: Path, home: Path, shop: Path) -> None:
    (shop / "items.csv").write_text("item_id\ni0\ni0\n")
    environment = tmp_path / "My Projects" / "environment"
    environment.parent.mkdir()
    environment.symlink_to(sys.prefix)
    command = "from winnow.cli.app import app; app()"
    refused = subprocess.run(
        [environment / "bin" / "python", "-P", "-c", command, "build", f"--data={shop}"],
        env=os.environ | {"WINNOW_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    # The first step ran and refused the data.
    assert refused.returncode == 2, refused.stderr
    assert "items.csv" in refused.stderr


def test_the_data_report_is_the_only_output(build: Callable[..., Building], home: Path, shop: Path) -> None:
    (shop / "items.csv").write_text("item_id\ni0\ni0\n")
    code, printed, errors = build(f"--data={shop}").finish()
    assert (code, printed) == (2, "")
    report = errors[errors.index("winnow: ") :]
    assert report.startswith(f"winnow: The data set {shop} cannot be used")
    assert "items.csv" in report
    for said in ("INFO", "Traceback", "Pipeline", ".log"):
        assert said not in report
    [outcome] = (home / "pipelines").glob("*.json")
    assert RunResult.read(outcome) == RunResult(error=report.removeprefix("winnow: ").removesuffix("\n"), exit_code=2)
