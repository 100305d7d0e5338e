"""Handle a ledger that was restored from an older copy.

The copy holds interactions as planned that were sent since, and it lacks closings found since, which a run would
plan again. Therefore everything that was due by the time of the loss becomes `unknown`, by legal transitions and
with its events. It stays so until Data Return shows it or a complete reading does not. Rows of the copy change at
once, later rows when they are recorded.
"""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, select, true, update

from include.interactions.actor import Actor
from include.interactions.states import State
from include.ledger.maintenance.use import admit
from include.ledger.schema import interaction, ledger_restore
from include.ledger.transition import Transition

DOUBT = "may have been sent before the ledger was restored"

_DUE_UNTIL = select(func.max(ledger_restore.c.due_until)).scalar_subquery()
IS_DOUBTFUL = and_(interaction.c.due_at <= _DUE_UNTIL, interaction.c.attempts > 0)
"""Return the condition that the lost ledger may have sent an interaction, or that it was tried before."""
_STEPS = ((State.PLANNED, State.CLAIMED), (State.CLAIMED, State.SENDING), (State.SENDING, State.UNKNOWN))


def restored(connection: Connection, now: datetime, due_until: datetime, by: Actor) -> int:
    """Make everything unknown that the lost ledger may have sent; return how many interactions are unknown now.

    Call it while no other process uses the ledger: no process holds its claimed or sending rows.
    """
    connection.execute(insert(ledger_restore).values(restored_at=now, due_until=due_until, actor=str(by)))
    admit(connection)
    return _doubt(connection, now, by, planned=true(), held=true())


def doubt_new(connection: Connection, now: datetime, by: Actor) -> int:
    """Do the same for closings that were just recorded, in the same transaction."""
    return _doubt_planned(connection, now, by, interaction.c.attempts == 0)


def doubt(connection: Connection, now: datetime, by: Actor, ids: Any) -> int:
    """Do the same for interactions that a person just planned again, in the same transaction."""
    return _doubt_planned(connection, now, by, interaction.c.id.in_(ids))


def since_closing(attempt: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the earliest instant at which a request may have been sent.

    That is `attempt`, the instant this ledger knows; if a lost ledger may have sent it, the closing.
    """
    return case((IS_DOUBTFUL, interaction.c.closed_at), else_=attempt)


def _doubt_planned(connection: Connection, now: datetime, by: Actor, which: ColumnElement[bool]) -> int:
    if connection.execute(select(_DUE_UNTIL)).scalar() is None:
        return 0
    return _doubt(connection, now, by, planned=which, held=None)


def _doubt(
    connection: Connection,
    now: datetime,
    by: Actor,
    *,
    planned: ColumnElement[bool],
    held: ColumnElement[bool] | None,
) -> int:
    """Planned (due by then), claimed and sending → unknown; with `held` None only planned rows."""
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
