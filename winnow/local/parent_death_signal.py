"""Run a command that the kernel terminates with its parent: ``parent_death_signal.py PARENT_PID COMMAND...``.

A program of its own rather than a ``preexec_fn``, because Python must not run between fork and exec in a process
that has threads (gRPC's, for one).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    # SIGTERM, so that each program closes as always (Triton would leave shared memory behind otherwise).
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent is gone already")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 (the command is the caller's own)
