"""``parent_death_signal.py PARENT_PID COMMAND...``: run a command that receives SIGTERM when its parent dies.

This is a program rather than a ``preexec_fn``, because no Python code may run between fork and exec in a process with
threads (gRPC's, for example).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    # SIGTERM, so that programs shut down cleanly: a killed Triton would leave shared memory behind.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent process has ended")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 (the caller's command)
