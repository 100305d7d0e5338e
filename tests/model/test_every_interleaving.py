"""Every history of a small world: two interactions, three processes, a death or a lost answer at each step."""

import sqlite3
import sys
from collections.abc import Iterator

import pytest

from include.interactions.cap import Cap
from include.ledger import Ledger, connect
from tests.support.small_processes import (
    CAP,
    EXTRACTION,
    FEEDBACK,
    PERSON,
    PLANNING_AGAIN,
    RECOVERY,
    RELEASE,
    Process,
)
from tests.support.small_world import SmallWorld

SOAK = [pytest.mark.soak, pytest.mark.timeout(3600)]
TWO_RELEASES = (RELEASE, RELEASE, RECOVERY)
AND_A_PERSON = (RELEASE, FEEDBACK, PERSON)
AND_A_LATER_CLOSING = (RELEASE, RELEASE, EXTRACTION)
AND_PLANNING_AGAIN = (RELEASE, RELEASE, PLANNING_AGAIN)


@pytest.fixture
def world() -> Iterator[SmallWorld]:
    engine = connect("sqlite://")
    with engine.connect() as connection:  # the pool's only one: the database is in memory
        raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    Ledger(engine).migrate()
    yield SmallWorld(engine, raw)
    engine.dispose()


@pytest.mark.parametrize(
    ("processes", "faults", "moves", "cap"),
    [
        pytest.param(TWO_RELEASES, 1, 1, None, id="two releases and a recovery"),
        pytest.param(AND_A_PERSON, 1, 1, None, id="a release, a feedback and a person"),
        pytest.param(AND_A_LATER_CLOSING, 1, 1, None, id="two releases and a later closing"),
        pytest.param(AND_PLANNING_AGAIN, 1, 1, CAP, id="two releases with a cap and planning again"),
        pytest.param(TWO_RELEASES, 3, 2, None, id="two releases and a recovery, more faults", marks=SOAK),
        pytest.param(AND_A_PERSON, 3, 3, None, id="a release, a feedback and a person, more faults", marks=SOAK),
        pytest.param(
            AND_A_LATER_CLOSING, 2, 2, None, id="two releases and a later closing, more faults", marks=SOAK
        ),
        pytest.param(AND_PLANNING_AGAIN, 2, 2, CAP, id="a cap and planning again, more faults", marks=SOAK),
    ],
)
def test_no_order_of_steps_breaks_the_promise(
    world: SmallWorld,
    processes: tuple[Process, ...],
    faults: int,
    moves: int,
    cap: Cap | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.cap = cap
    world.explore(processes, faults=faults, moves=moves)
    with capsys.disabled():
        names = ", ".join([*(process.kind for process in processes), *(["cap"] if cap else [])])
        sys.stdout.write(
            f"\n{names}; {faults} faults, {moves} leaps of time: {len(world.visited):,} states by {world.steps:,} "
            f"steps, {world.ends:,} ends\n"
        )
    assert world.ends > 10
