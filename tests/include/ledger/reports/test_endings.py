from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger
from include.ledger.reports.endings import MIN_CLOSINGS, find_unusual_endings
from include.ledger.schema import interaction
from tests.support.ledger import LEASE, NOON, REQUEST, by_run, closing

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def close(ledger: Ledger) -> Callable[..., None]:
    """A function that records closings of so long ago, skipped for a reason, or planned with this delay."""
    number = 0

    def record(
        amount: int, skip: Reason | None = None, *, ago: timedelta = HOUR, delay: timedelta = 9 * DAY
    ) -> None:
        nonlocal number
        number += amount
        ledger.extraction.record_closings(
            [closing(number - n, closed_at=NOON - ago, skip=skip, delay=delay) for n in range(amount)],
            by_run("run"),
        )

    return record


def found(ledger: Ledger) -> dict[str, tuple[int, int, int]]:
    with ledger.read() as connection:
        return {
            one.why: (one.ended, one.closings, round(100 * one.usual_share))
            for one in find_unusual_endings(connection, NOON)
        }


def test_without_a_week_before_a_large_share_is_unusual(ledger: Ledger, close: Callable[..., None]) -> None:
    close(20, Reason.MERGED)
    close(60)
    assert found(ledger) == {"merged": (20, 80, 0)}


def test_a_small_share_or_a_small_day_is_not(ledger: Ledger, close: Callable[..., None]) -> None:
    close(MIN_CLOSINGS - 1, Reason.MERGED)
    assert found(ledger) == {}
    close(5 * MIN_CLOSINGS)
    assert found(ledger) == {}


@pytest.mark.parametrize(("today", "expected"), [(92, {}), (93, {"no_agent_assigned": (93, 100, 85)})])
def test_beside_a_large_usual_share_half_of_what_is_left_counts(
    ledger: Ledger, close: Callable[..., None], today: int, expected: dict[str, tuple[int, int, int]]
) -> None:
    for amount, ago in ((85, 4 * DAY), (today, HOUR)):
        close(amount, Reason.NO_AGENT_ASSIGNED, ago=ago)
        close(100 - amount, ago=ago)
    assert found(ledger) == expected


def test_what_ends_at_its_due_time_counts_on_that_day(ledger: Ledger, close: Callable[..., None]) -> None:
    close(60, ago=DAY + 2 * HOUR, delay=DAY)
    held = ledger.releasing.claim(NOON - 9 * DAY, NOON, 60, LEASE, by_run("run"))
    for claimed in held[:20]:
        ledger.releasing.veto(claimed, State.CANCELLED, Reason.DELETED, "gone")
    for claimed in held[20:40]:
        ledger.releasing.start_sending(claimed, LEASE, REQUEST)
        ledger.releasing.settle(claimed, State.REJECTED, 400, "no such channel")
    assert found(ledger) == {"deleted": (20, 60, 0), "rejected": (20, 60, 0)}


def test_what_persons_ended_is_as_they_wanted(ledger: Ledger, engine: Engine, close: Callable[..., None]) -> None:
    close(60)
    with engine.begin() as connection:
        connection.execute(update(interaction).values(state=State.CANCELLED, reason=Reason.BY_HAND))
    assert found(ledger) == {}
