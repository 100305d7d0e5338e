"""Which reasons end more interactions without a survey than usual."""

from collections import Counter
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.schema import interaction

MIN_SHARE = 0.2
"""Of a day's closings. The share must also exceed the usual one by this, or by half of what is left above it."""
MIN_CLOSINGS = 50
"""A day with fewer says nothing about shares."""
DAY, USUAL_SPAN = timedelta(days=1), timedelta(days=7)
_BY_PERSONS = (Reason.BY_HAND, Reason.ERASED)


class UnusualEnding(NamedTuple):
    """A reason and its share of a day."""

    why: str
    """A reason, or `rejected`."""
    ended: int
    closings: int
    """Of the same day."""
    usual_share: float
    """Of the week before; 0 without closings."""


def find_unusual_endings(connection: Connection, now: datetime) -> list[UnusualEnding]:
    """List the reasons whose share of a day is large and larger than usual.

    Looks at the closings of the last day, most of which are skipped at once or still wait, and at those that fell
    due in the last day.
    """
    found: dict[str, UnusualEnding] = {}
    for instant in (interaction.c.closed_at, interaction.c.due_at):
        today = _count_endings(connection, instant, now - DAY, now)
        closings = today.total()
        large = {why: ended for why, ended in today.items() if why and ended > MIN_SHARE * closings}
        if closings < MIN_CLOSINGS or not large:
            continue
        before = _count_endings(connection, instant, now - DAY - USUAL_SPAN, now - DAY)
        for why, ended in large.items():
            usual = before[why] / max(before.total(), 1)
            if ended > min(usual + MIN_SHARE, (1 + usual) / 2) * closings:
                found.setdefault(why, UnusualEnding(why, ended, closings, usual))
    return list(found.values())


def _count_endings(
    connection: Connection, instant: ColumnElement[datetime], since: datetime, until: datetime
) -> Counter[str]:
    """Count interactions by reason or `rejected`; those that were sent, wait or were ended by a person under ""."""
    row = interaction.c
    rows = connection.execute(
        select(row.state, row.reason, func.count())
        .where(instant >= since, instant < until)
        .group_by(row.state, row.reason)
    )
    counts: Counter[str] = Counter()
    for state, reason, number in rows:
        why = reason if reason not in _BY_PERSONS else None
        counts[why or (State.REJECTED if state == State.REJECTED else "")] += number
    return counts
