"""A ledger restored from an older copy, and what it cannot know.

It holds interactions as planned that have been sent since, and closings found since are missing in it: extracted
again, they would be planned again. So whatever was due by the time of the loss becomes `unknown`, by the legal way
and with its events, until Data Return shows it or its absence has been seen: rows of the copy at once, rows that
come in later as they come.
"""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, select, true, update

from include.interactions.states import State
from include.ledger.maintenance.use import admit
from include.ledger.schema import interaction, ledger_restore
from include.ledger.transition import Transition

DOUBT = "may have been sent before the ledger was restored"

_DUE_UNTIL = select(func.max(ledger_restore.c.due_until)).scalar_subquery()
IS_DOUBTFUL = and_(interaction.c.due_at <= _DUE_UNTIL, interaction.c.attempts > 0)
"""The condition that an interaction may have been sent by a ledger that was lost, or has been tried before."""
_STEPS = ((State.PLANNED, State.CLAIMED), (State.CLAIMED, State.SENDING), (State.SENDING, State.UNKNOWN))


def restored(connection: Connection, now: datetime, due_until: datetime, by: str) -> int:
    """Doubt everything that the lost ledger may have sent; returns how many interactions are unknown now.

    For a time at which nothing else works on the ledger: what it holds as claimed or sending is held by nobody.
    """
    connection.execute(insert(ledger_restore).values(restored_at=now, due_until=due_until, actor=by))
    admit(connection)
    return _doubt(connection, now, by, planned=true(), held=true())


def doubt_new(connection: Connection, now: datetime, by: str) -> int:
    """The same for closings that have just been recorded, in their own transaction."""
    return _doubt_planned(connection, now, by, interaction.c.attempts == 0)


def doubt(connection: Connection, now: datetime, by: str, ids: Any) -> int:
    """The same for interactions that a person has just planned again, in the same transaction."""
    return _doubt_planned(connection, now, by, interaction.c.id.in_(ids))


def since_closing(attempt: ColumnElement[Any]) -> ColumnElement[Any]:
    """The earliest instant at which a request may have left.

    That is `attempt`, the instant this ledger knows; for what a lost ledger may have sent, the closing.
    """
    return case((IS_DOUBTFUL, interaction.c.closed_at), else_=attempt)


def _doubt_planned(connection: Connection, now: datetime, by: str, which: ColumnElement[bool]) -> int:
    if connection.execute(select(_DUE_UNTIL)).scalar() is None:
        return 0
    return _doubt(connection, now, by, planned=which, held=None)


def _doubt(
    connection: Connection,
    now: datetime,
    by: str,
    *,
    planned: ColumnElement[bool],
    held: ColumnElement[bool] | None,
) -> int:
    """Planned (those due by then), claimed and sending → unknown; with `held` None only what was planned."""
    token = secrets.token_hex(16)
    values: dict[State, dict[str, Any]] = {
        State.CLAIMED: {"token": token, "lease_until": now},
        State.SENDING: {"attempts": interaction.c.attempts + 1, "http_status": None},
        State.UNKNOWN: {"lease_until": None, "detail": DOUBT},
    }
    which = {State.PLANNED: and_(planned, interaction.c.due_at <= _DUE_UNTIL)}
    moved = 0
    for before, after in _STEPS:
        ours = which.get(before, interaction.c.token == token if held is None else held)
        step = Transition(before, update(interaction).where(ours).values(state=after, **values[after]))
        moved = len(step.apply(connection, now, {}, detail=DOUBT, by=by))
    return moved
