"""What processes use: CPU and memory."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def family(pid: int) -> list[int]:
    """Return the process and all that it has started."""
    first = psutil.Process(pid)
    return [first.pid, *(child.pid for child in first.children(recursive=True))]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of living processes and of those children that have ended and been waited for."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def mebibytes(pids: Iterable[int]) -> float:
    """Memory in MiB; what processes share counts once, in parts (PSS)."""
    total = 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            total += psutil.Process(pid).memory_full_info().pss
    return total / 2**20
