import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select, text

from include.interactions.states import State
from include.ledger import Ledger, connect
from include.ledger.migrate import SCRIPTS
from include.ledger.schema import interaction_event
from tests.support import ledger as work
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

PROCESSES = 8

InEveryProcess = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def in_every_process() -> Iterator[InEveryProcess]:
    """Runs a function in eight processes at the same moment, each with its own arguments."""
    context = get_context("forkserver")
    # One fork server serves all tests of a process, whichever come first.
    context.set_forkserver_preload(["tests.support.ledger", "tests.support.release_process"])
    barrier = context.Barrier(PROCESSES)
    with ProcessPoolExecutor(PROCESSES, context, work.start_together, (barrier,)) as pool:

        def run(function: Callable[..., object], *arguments: list[Any]) -> list[Any]:
            columns = [[function] * PROCESSES, *arguments]
            return list(pool.map(work.together, *columns))

        yield run


def test_an_empty_database_is_migrated_once_by_eight_processes(
    empty_url: str, in_every_process: InEveryProcess
) -> None:
    in_every_process(work.migrate, [empty_url] * PROCESSES)
    with connect(empty_url).connect() as connection:
        versions = connection.execute(text("SELECT version_num FROM interaction_ledger_version")).scalars().all()
    assert versions == [ScriptDirectory(str(SCRIPTS)).get_current_head()]


def test_eight_processes_that_claim_the_same_window_share_it_without_overlap(
    url: str, ledger: Ledger, in_every_process: InEveryProcess
) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(800)], by_run("run"))
    now = NOON + timedelta(hours=2)
    shares = in_every_process(work.claim_all, [url] * PROCESSES, [now] * PROCESSES, [7] * PROCESSES)
    taken = [row_id for share in shares for row_id in share]
    assert len(taken) == len(set(taken)) == 800
    assert ledger.counts() == {(State.CLAIMED, None): 800}


def test_eight_processes_that_find_the_same_closings_record_each_once(
    url: str, ledger: Ledger, in_every_process: InEveryProcess
) -> None:
    chance = random.Random(7)
    numbers = [chance.sample(range(1_500), 1_500) for _ in range(PROCESSES)]
    new = in_every_process(work.record, [url] * PROCESSES, numbers)
    assert sum(new) == 1_500
    assert ledger.counts() == {(State.PLANNED, None): 1_500}


def test_eight_threads_release_every_interaction_exactly_once(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(400)], by_run("run"))
    clock.forward(hours=1)
    posts: Counter[int] = Counter()
    lost: list[int] = []

    def release() -> None:
        while batch := ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run")):
            for one in batch:
                if ledger.releasing.start_sending(one, LEASE, REQUEST):
                    posts[one.id] += 1
                if not ledger.releasing.settle(one, State.SENT, 201):
                    lost.append(one.id)

    threads = [threading.Thread(target=release) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(posts) == 400
    assert set(posts.values()) == {1}
    assert lost == []
    with engine.connect() as connection:
        events = connection.execute(
            select(interaction_event.c.to_state, func.count()).group_by(interaction_event.c.to_state)
        )
        assert dict(map(tuple, events)) == dict.fromkeys(("planned", "claimed", "sending", "sent"), 400)


def test_a_recovery_beside_the_holder_leaves_one_winner(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(200)], by_run("run"))
    clock.forward(hours=1)
    held = ledger.releasing.claim(NOON, clock(), 200, LEASE, by_run("run"))
    for one in held:
        ledger.releasing.start_sending(one, LEASE, REQUEST)
    clock.forward(minutes=5)
    answers: list[bool] = []
    holder = threading.Thread(
        target=lambda: answers.extend(ledger.releasing.settle(one, State.SENT, 201) for one in held)
    )
    holder.start()
    for _ in range(50):
        ledger.releasing.recover(by_run("next run"))
    holder.join(60)
    assert answers == [True] * 200
    assert ledger.counts() == {(State.SENT, None): 200}
