"""One claimed interaction on its way: the commit before its request, and the outcome after it.

Each step is one conditional statement: only the holder of the token moves the row, once.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Update, bindparam, update

from include.interactions.interaction import ClaimedInteraction
from include.interactions.states import Reason, State
from include.ledger import events
from include.ledger.schema import interaction, state_is


def start_sending(
    connection: Connection, now: datetime, claimed: ClaimedInteraction, lease: timedelta
) -> datetime | None:
    """Claimed → sending, with the lease extended to the returned instant; None if the claim was lost."""
    until: datetime | None = connection.execute(
        _START, {"row": claimed.id, "held": claimed.token, "at": now, "until": now + lease}
    ).scalar()
    if until is not None:
        events.append(connection, [claimed.id], now, (State.CLAIMED, State.SENDING))
    return until


def settle(
    connection: Connection,
    now: datetime,
    claimed: ClaimedInteraction,
    outcome: State,
    http_status: int | None,
    detail: str | None,
) -> bool:
    """Write the outcome of the request; False if the row is no longer the caller's.

    The row is `sending`, or `unknown` when the lease was over before the holder came back.
    """
    values = {"row": claimed.id, "held": claimed.token, "at": now, "status": http_status, "words": detail}
    if outcome is State.SENT:
        values["sent"] = now
    for before in (State.SENDING, State.UNKNOWN):  # a row goes from the first to the second, never back
        if connection.execute(_SETTLE[before, outcome], values).scalar() is not None:
            if before is not outcome:
                events.append(connection, [claimed.id], now, (before, outcome), detail=detail)
            return True
    return False


def veto(
    connection: Connection,
    now: datetime,
    claimed: ClaimedInteraction,
    state: State,
    reason: Reason,
    detail: str | None,
) -> bool:
    """Claimed → cancelled or skipped; False if the claim was lost."""
    values = {"row": claimed.id, "held": claimed.token, "at": now, "why": reason, "words": detail}
    if connection.execute(_VETO[state], values).scalar() is None:
        return False
    events.append(connection, [claimed.id], now, (State.CLAIMED, state), reason=reason, detail=detail)
    return True


def _held(before: State) -> Update:
    return (
        update(interaction)
        .where(interaction.c.id == bindparam("row"), interaction.c.token == bindparam("held"), state_is(before))
        .values(updated_at=bindparam("at"))
        .returning(interaction.c.id)
    )


def _settle_statement(before: State, outcome: State) -> Update:
    values: dict[str, Any] = {"http_status": bindparam("status"), "detail": bindparam("words")}
    if before is not outcome:
        values |= {"state": outcome, "lease_until": None}
    if outcome is not State.UNKNOWN:
        values["token"] = None
    if outcome is State.SENT:
        values["sent_at"] = bindparam("sent")
    return _held(before).values(values)


_START = (
    update(interaction)
    .where(
        interaction.c.id == bindparam("row"),
        interaction.c.token == bindparam("held"),
        state_is(State.CLAIMED),
        interaction.c.lease_until > bindparam("at"),
    )
    .values(
        state=State.SENDING,
        lease_until=bindparam("until"),
        attempts=interaction.c.attempts + 1,
        # of an earlier attempt; its event keeps the words
        http_status=None,
        detail=None,
        updated_at=bindparam("at"),
    )
    .returning(interaction.c.lease_until)
)
_SETTLE = {
    (before, outcome): _settle_statement(before, outcome)
    for before in (State.SENDING, State.UNKNOWN)
    for outcome in (State.SENT, State.REJECTED, State.UNKNOWN, State.PLANNED)
}
_VETO = {
    state: _held(State.CLAIMED).values(
        state=state, reason=bindparam("why"), detail=bindparam("words"), token=None, lease_until=None
    )
    for state in (State.CANCELLED, State.SKIPPED)
}
