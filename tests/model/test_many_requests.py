"""As many requests as it takes to say how rare a broken promise is: long random histories, on all cores.

`make soak` comes to a million. Each history follows from its seed alone; `SOAK_SEED` names the first one.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from multiprocessing import get_context
from multiprocessing.pool import ApplyResult, Pool

import pytest

from tests.support.long_histories import fingerprint, play

AT_ONCE = 10
"""Histories that a process plays before it returns their figures."""
NEWS_EVERY = 100_000


@pytest.fixture(scope="module")
def processes() -> Iterator[Pool]:
    """As many as there are cores, each with other hashes than this one."""
    with get_context("spawn").Pool() as pool:  # its end ends them
        yield pool


def test_a_seed_fixes_the_whole_history(processes: Pool) -> None:
    elsewhere = processes.apply_async(fingerprint, [1])
    assert fingerprint(1) == elsewhere.get() != fingerprint(2)


@pytest.mark.parametrize(
    "seed",
    [
        # A release stood still past its lease, claimed an interaction again, and sent it by both claims.
        1795910952,
    ],
)
def test_a_history_that_once_broke_the_promise_keeps_it(seed: int) -> None:
    assert play(range(seed, seed + 1))["POSTs"] > 0


@pytest.mark.parametrize(
    ("requests", "seed"),
    [
        # Always the same histories: what turns this red is the change, not chance.
        pytest.param(2_000, 1, id="2,000"),
        pytest.param(1_000_000, None, id="1,000,000", marks=[pytest.mark.soak, pytest.mark.timeout(6 * 3600)]),
    ],
)
def test_no_request_is_doubled_early_or_lost(
    requests: int, seed: int | None, processes: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = seed or int(os.environ.get("SOAK_SEED") or time.time())
    began = time.monotonic()
    figures: Counter[str] = Counter()
    with capsys.disabled():
        sys.stdout.write(f"\nhistories from seed {seed}\n")
        for some in play_all(processes, seed):
            before = figures["POSTs"] // NEWS_EVERY
            figures.update(some)
            if figures["POSTs"] // NEWS_EVERY > before:
                sys.stdout.write(f"{figures['POSTs']:>9,} POSTs after {time.monotonic() - began:,.0f} s\n")
            if figures["POSTs"] >= requests:
                break
        sys.stdout.write("".join(f"{figures[name]:>9,}  {name}\n" for name in sorted(figures)))
        sys.stdout.write(
            f"{figures['POSTs']:,} POSTs in {time.monotonic() - began:,.0f} s, seeds {seed:,} to "
            f"{seed + figures['histories'] - 1:,}. A broken promise is rarer than one in {figures['POSTs'] // 3:,} "
            f"(3/n, at 95 %)\n"
        )
    assert figures["duplicates"] == figures["early"] == figures["forgotten"] == 0


def play_all(processes: Pool, seed: int) -> Iterator[Counter[str]]:
    """Play history after history without end; yields figures of some, in the order of their seeds."""
    running: list[ApplyResult[Counter[str]]] = []
    for first in count(seed, AT_ONCE):
        running.append(processes.apply_async(play, [range(first, first + AT_ONCE)]))
        if len(running) > 2 * (os.cpu_count() or 1):
            yield running.pop(0).get()
