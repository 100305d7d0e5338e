"""Runs what waits for a vendor in threads, and hands the results to the one thread that decides."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any


class SideTasks:
    """Tasks under way beside the thread that started them; only that thread uses this object.

    Attributes:
        number: how many are under way.
    """

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="release")
        self._ended: SimpleQueue[Future[Any]] = SimpleQueue()
        self.number = 0
        self._fault: BaseException | None = None

    def start(self, task: Callable[..., Any], *given: Any) -> None:
        """Begin a task; its result comes from `take`."""
        begun = self._pool.submit(task, *given)
        self.number += 1
        begun.add_done_callback(self._ended.put)

    def take(self, seconds: float | None = None) -> list[Any]:
        """Wait for a task to end, at most so long; return the results of all that have ended, in their order.

        Exceptions are kept for `raise_fault`.
        """
        ended: list[Future[Any]] = []
        with suppress(Empty):
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        self.number -= len(ended)
        faults = [fault for task in ended if (fault := task.exception())]
        self._fault = self._fault or next(iter(faults), None)
        return [task.result() for task in ended if not task.exception()]

    def raise_fault(self) -> None:
        """Raise the first exception of a task, if there was one."""
        if self._fault:
            raise self._fault

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown()
