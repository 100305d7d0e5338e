"""`exec_bound_to_parent.py PARENT COMMAND...`: becomes COMMAND, which is asked to end when PARENT dies.

A separate file, run without site-packages, because doing this between fork and exec (`preexec_fn`) is
unsafe in a program with threads. Linux only; elsewhere COMMAND simply starts.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # died before we could ask
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted
