"""Supervised child processes: started, watched, and always ended."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from winnow.local.processes import Process, ProcessFailed


def python(tmp_path, code, ready=None, **settings):
    """A child process that runs ``code``; it is ready when the file ``ready`` exists."""
    flag = tmp_path / "ready"
    preamble = f"import os, pathlib, signal, subprocess, sys, time\nready = pathlib.Path({str(flag)!r})\n"
    command = [sys.executable, "-I", "-S", "-c", preamble + textwrap.dedent(code)]
    return Process("worker", command, log=tmp_path / "logs" / "worker.log", ready=ready or flag.exists, **settings)


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(") ")[2][0] != "Z"


def gone(pid, seconds=5.0):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_process_is_ready_inside_the_block_and_gone_after_it(tmp_path):
    with python(tmp_path, "ready.write_text('yes'); print('hello', flush=True); time.sleep(60)") as child:
        child.check()
        pid = child.pid
        assert alive(pid)
        assert (tmp_path / "ready").read_text() == "yes"
    assert not alive(pid)


def test_a_process_gets_the_given_environment(tmp_path):
    with python(tmp_path, "ready.write_text(os.environ['A']); time.sleep(60)", environment={"A": "1"}):
        assert (tmp_path / "ready").read_text() == "1"


def test_a_process_that_dies_while_starting_is_an_error_with_its_exit_code_and_log(tmp_path):
    child = python(tmp_path, "print('first line', flush=True); sys.exit('cannot go on')")
    with (
        pytest.raises(ProcessFailed, match=r"(?s)worker stopped by itself \(exit code 1\).*first line.*cannot go on"),
        child,
    ):
        pass


def test_a_process_that_is_never_ready_is_an_error_and_is_stopped(tmp_path):
    child = python(tmp_path, "print(os.getpid(), flush=True); time.sleep(60)", timeout=0.5)
    with pytest.raises(ProcessFailed, match="worker was not ready after"), child:
        pass
    assert not alive(int((tmp_path / "logs" / "worker.log").read_text()))


def test_a_process_that_dies_later_is_noticed(tmp_path):
    with python(tmp_path, "ready.touch(); time.sleep(60)") as child:
        os.kill(child.pid, signal.SIGKILL)
        assert gone(child.pid)
        with pytest.raises(ProcessFailed, match="worker stopped by itself \\(signal SIGKILL\\)"):
            child.check()


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path):
    code = """
        signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM ignored", flush=True))
        ready.touch()
        while True:
            time.sleep(60)
    """
    with python(tmp_path, code, grace=0.3) as child:
        pid = child.pid
        started = time.monotonic()
    assert not alive(pid)
    assert (tmp_path / "logs" / "worker.log").read_text() == "SIGTERM ignored\n"
    assert time.monotonic() - started >= 0.3


def test_grandchildren_end_with_the_process(tmp_path):
    code = """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)'
        grandchild = subprocess.Popen([sys.executable, '-I', '-S', '-c', code], stdout=subprocess.PIPE)
        grandchild.stdout.readline()
        ready.write_text(str(grandchild.pid))
        time.sleep(60)
    """
    with python(tmp_path, code, ready=lambda: (tmp_path / "ready").exists() and (tmp_path / "ready").read_text() != ""):
        grandchild = int((tmp_path / "ready").read_text())
        assert alive(grandchild)
    assert gone(grandchild)


def test_a_process_ends_when_its_parent_is_killed(tmp_path):
    code = f"""
        import sys, time
        from pathlib import Path
        from winnow.local.processes import Process
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        with Process("child", command, log=Path({str(tmp_path / "log")!r}), ready=lambda: True) as child:
            print(child.pid, flush=True)
            time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    assert gone(child)
