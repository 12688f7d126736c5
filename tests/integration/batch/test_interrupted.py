"""Runs that are interrupted: nothing is left running, parts are whole, and the next run completes the batch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.integration.batch.conftest import PART, Batch, content
from winnow.release import Release

MANY = 2500

# Background jobs of a shell ignore SIGINT, and child processes inherit that.
RUN = f"""
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from winnow.batch import plan
from winnow.cli.app import app
plan.PART_USERS = {PART}
sys.argv[0] = "winnow"
app()
"""


@pytest.fixture
def users(tmp_path: Path, release: Release) -> Path:
    """Users for some seconds of work, more of them unknown than known."""
    known = release.array("user_ids").tolist()
    file = tmp_path / "users.txt"
    file.write_text("\n".join([*known, *(f"unknown-{number}" for number in range(MANY - len(known)))]))
    return file


@pytest.fixture
def command(tmp_path: Path, users: Path, release: Release, redis_url: str) -> Iterator[subprocess.Popen[str]]:
    """The command, with the first parts of its output written."""
    output = tmp_path / "out"
    arguments = ["--all", f"--output={output}", f"--users={users}", "-k5", f"--release-dir={release.folder}"]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "recommend", *arguments, "--workers=2"],
        env=os.environ | {"REDIS_URL": redis_url, "WINNOW_HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while len(list(output.glob("part-*.parquet"))) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.005)
        yield process
        process.kill()


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [one for one in children if "recommender_transformer.batch" in one.cmdline()]
    assert len(workers) == 2
    return workers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_next_run_completes_it_as_if_it_had_not_been_interrupted(
    batch: Batch, command: "subprocess.Popen[str]", users: Path, tmp_path: Path, number: signal.Signals
) -> None:
    workers, output = workers_of(command), tmp_path / "out"
    # As Ctrl-C and `kill -9` of the whole job do: the process group.
    os.killpg(command.pid, number)
    _, said = command.communicate(timeout=60)
    assert command.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []

    assert not (output / "_SUCCESS").exists()
    written = {path.name: path.read_bytes() for path in output.glob("part-*.parquet")}
    assert 3 <= len(written) < MANY / PART
    assert {pq.read_table(output / name).num_rows for name in written} == {PART}

    done = batch(output, users=str(users))
    assert (done.users, done.skipped) == (MANY, PART * len(written))
    assert {name: (output / name).read_bytes() for name in written} == written
    rows = content(output)
    assert len({row["user_id"] for row in rows}) == len(rows) == MANY
    if number == signal.SIGKILL:
        batch(tmp_path / "uninterrupted", users=str(users))
        assert content(tmp_path / "uninterrupted") == rows

    again = batch(output, users=str(users))
    assert (again.computed, again.skipped) == (0, MANY)
