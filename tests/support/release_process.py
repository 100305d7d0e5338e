"""The pipeline's tasks in processes of their own, which stop or die at a named point when told to."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import airflow.providers.postgres.hooks.postgres  # noqa: F401  once for all processes, not later in each of them
import time_machine

from include.ledger import releasing
from include.ledger.releasing import ReleasingStore
from plugins.pipeline import due_reader as reader_module
from plugins.pipeline import sending as sending_module
from plugins.pipeline.operators import ReleaseInteractionsOperator
from plugins.pipeline.planning import plan_windows
from plugins.runtime.organisations import DEFAULT
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api import waiting
from tests.support.pipeline import Pipeline, run_of

SHORT_LEASE = timedelta(seconds=1)
"""How long a row may be `sending` in the test that waits for its end."""
SOAK_LEASE, SOAK_SENDING_LEASE = timedelta(seconds=8), timedelta(seconds=4)
"""Where leases end all the time."""

BEFORE, AFTER = "before", "after"

POINTS = {
    "before the claim is committed": (releasing.CLAIM, "apply", AFTER),
    "after the claim is committed": (ReleasingStore, "claim", AFTER),
    "before sending is committed": (ReleasingStore, "_start", AFTER),
    "after sending is committed": (ReleasingStore, "start_all", AFTER),
    "directly before the request": (StellaConnectHook, "send", BEFORE),
    "after the answer": (StellaConnectHook, "send", AFTER),
    "before the outcome is committed": (ReleasingStore, "_settle", AFTER),
    "between two interactions": (ReleasingStore, "settle_all", AFTER),
    "before the rest is given back": (ReleasingStore, "give_back", BEFORE),
}
"""Where a release can be hit: the function, and whether before or after it."""
PLACES: dict[str, tuple[Any, str, str]] = dict(POINTS)
"""Where any process can be hit; the modules of other tasks add theirs."""


@dataclass(frozen=True)
class Hit:
    """A signal that a process sends itself when it comes to the point for the nth time."""

    point: str
    signal: signal.Signals
    time: int = 1

    def prepare(self) -> None:
        """Lie in wait, in this process."""
        owner, name, when = PLACES[self.point]
        function: Callable[..., object] = getattr(owner, name)
        calls = count(1)

        def hit(*arguments: object, **options: object) -> object:
            here = next(calls) == self.time
            if here and when == BEFORE:
                self.strike()
            result = function(*arguments, **options)
            if here and when == AFTER:
                self.strike()
            return result

        setattr(owner, name, hit)

    def strike(self) -> None:
        """Send the signal to this very thread: sent to the process, it may reach another one and us too late."""
        signal.pthread_kill(threading.get_ident(), self.signal)


class DiskFull(Hit):
    """At the point the disk is full: from then on this process cannot make any file longer.

    SQLite then reports an I/O error where a full disk would be "database or disk is full"; both are the same to us.
    """

    def __init__(self, point: str, time: int = 1) -> None:
        super().__init__(point, signal.SIGXFSZ, time)  # Python ignores that signal, so the write fails instead

    def strike(self) -> None:
        """Take the space away."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def release(
    environment: Mapping[str, str], window: Mapping[str, Any], start: datetime, hit: Hit | None = None
) -> None:
    """Release the window as a task does; hit at the point, if any."""
    _prepare(environment)
    if hit:
        hit.prepare()
    ReleaseInteractionsOperator(task_id="release", window=window, organisation=DEFAULT).execute(run_of(start))


def release_under_a_short_lease(
    environment: Mapping[str, str], window: Mapping[str, Any], start: datetime, hit: Hit
) -> None:
    """The same with a lease that a test can wait for."""
    sending_module.SENDING_LEASE = SHORT_LEASE
    release(environment, window, start, hit)


def release_together(
    environment: Mapping[str, str], window: Mapping[str, Any], start: datetime, gate: Barrier
) -> None:
    """Release the window in the same moment as the other processes."""
    _prepare(environment)
    gate.wait(60)
    ReleaseInteractionsOperator(task_id="release", window=window, organisation=DEFAULT).execute(run_of(start))


def run_together(
    environment: Mapping[str, str], ledger_url: str, start: datetime, origin: str, gate: Barrier
) -> None:
    """One whole run, in the same moment as the other processes."""
    _prepare(environment)
    pipeline, run = Pipeline(None, ledger_url), run_of(start, origin=origin)  # type: ignore[arg-type] # not asked
    gate.wait(60)
    pipeline.run(run)


def extract_by_a_wrong_clock(
    environment: Mapping[str, str], ledger_url: str, start: datetime, now: datetime
) -> None:
    """Extract an hour in a process for which it is now another time."""
    _prepare(environment)
    with time_machine.travel(now):
        Pipeline(None, ledger_url).extract(run_of(start))  # type: ignore[arg-type] # not asked


def release_for_ever(
    environment: Mapping[str, str],
    start: datetime,
    hit: Hit | None = None,
    posts_to: str | None = None,
    behind: timedelta = timedelta(0),
) -> None:
    """Plan and release, again and again, as if each round were a task of its own; ends only by a signal.

    Args:
        posts_to: the id of a connection whose host gets the POSTs, and nothing else.
        behind: how late it is for this process.
    """
    _prepare(environment, factor=0.05)
    reader_module.LEASE, sending_module.SENDING_LEASE = SOAK_LEASE, SOAK_SENDING_LEASE
    if posts_to:
        elsewhere = StellaConnectHook(posts_to)
        StellaConnectHook.send = lambda _, request: elsewhere.send(request)  # type: ignore[method-assign] # as it is
    if hit:
        hit.prepare()
    run = run_of(start)
    with time_machine.travel(datetime.now(UTC) - behind) if behind else nullcontext():
        while True:
            with suppress(Exception):  # a failed task; the next round is its retry
                for window in plan_windows(run, DEFAULT):
                    if datetime.fromisoformat(window["due_until"]) <= datetime.now(UTC):
                        ReleaseInteractionsOperator(task_id="release", window=window, organisation=DEFAULT).execute(
                            run
                        )


def _prepare(environment: Mapping[str, str], factor: float = 0) -> None:
    os.environ.update(environment)
    waiting.factor = factor


context = get_context("forkserver")
context.set_forkserver_preload(["tests.support.release_process", "tests.support.ledger"])


@contextmanager
def started(target: Callable[..., None], *arguments: object) -> Iterator[ForkServerProcess]:
    """A process that is gone afterwards, stopped ones too."""
    process = context.Process(target=target, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(30)


def is_stopped(process: ForkServerProcess) -> bool:
    """Whether SIGSTOP has struck."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
