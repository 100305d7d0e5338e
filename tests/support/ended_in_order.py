"""A test process that is asked to end (SIGTERM) ends what it has started, as after Ctrl-C."""

import os
import signal
from types import FrameType


def on_sigterm() -> None:
    """Let SIGTERM interrupt this process's tests; its forks end at once, as they would."""
    owner = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGTERM, interrupt)
