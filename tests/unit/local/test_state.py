"""One stack per home; the state of a dead stack is ignored."""

import subprocess
import sys

import pytest

from winnow.errors import WinnowError
from winnow.local.stack_state import StackState, claim, running
from winnow.ports import Ports

STATE = StackState(pid=1, release=3, ports=Ports.at(9000), ready=True)
CLAIM_AND_WAIT = """
import sys
from winnow.ports import Ports
from winnow.local.stack_state import StackState, claim
with claim() as mine:
    mine.write(StackState(pid=1, release=3, ports=Ports.at(9000), ready=False))
    mine.write(StackState(pid=1, release=3, ports=Ports.at(9000), ready=True))
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def other():
    """Another process that holds the home's lock."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", CLAIM_AND_WAIT], **pipes) as process:
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def test_nothing_runs_in_a_new_home():
    assert running() is None


def test_the_running_stack_is_described_and_a_second_is_refused(other, home):
    assert running() == STATE
    with pytest.raises(WinnowError, match=f"a stack runs already in {home}.*winnow down.*WINNOW_HOME"), claim():
        pass
    assert running() == STATE


def test_two_homes_hold_two_stacks(other, tmp_path, monkeypatch):
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "second"))
    assert running() is None
    with claim() as mine:
        mine.write(STATE)


def test_the_state_of_a_killed_stack_is_stale(other, home):
    other.kill()
    other.wait()
    assert '"release": 3' in (home / "run" / "stack.json").read_text()
    assert running() is None
    with claim():
        assert (home / "run" / "stack.json").read_text() == ""


def test_after_a_stack_has_ended_nothing_runs():
    with claim() as mine:
        mine.write(STATE)
    assert running() is None
