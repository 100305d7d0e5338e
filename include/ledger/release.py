"""One claimed interaction on its way: the commit before its request, and the outcome after it.

Each step is one conditional statement: only the holder of the token moves the row, once.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Update, bindparam, null, update

from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.schema import interaction, state_is
from include.ledger.transition import Transition


def start_sending(
    connection: Connection, now: datetime, claimed: ClaimedInteraction, lease: timedelta
) -> datetime | None:
    """Claimed → sending, with the lease extended to the returned instant; None if the claim was lost."""
    started = _START.apply(connection, now, {**_ours(claimed), "until": now + lease})
    return started[0].lease_until if started else None


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
    values = {**_ours(claimed), "status": http_status, "words": detail}
    if outcome is State.SENT:
        values["sent"] = now
    for before in (State.SENDING, State.UNKNOWN):  # a row goes from the first to the second, never back
        if before is outcome:
            return connection.execute(_STILL_UNKNOWN, {**values, "at": now}).scalar() is not None
        if _SETTLE[before, outcome].apply(connection, now, values, detail=detail):
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
    values = {**_ours(claimed), "why": reason, "words": detail}
    return bool(_VETO[state].apply(connection, now, values, detail=detail))


def _ours(claimed: ClaimedInteraction) -> dict[str, Any]:
    return {"row": claimed.id, "held": claimed.token}


def _update() -> Update:
    return update(interaction).where(interaction.c.id == bindparam("row"), interaction.c.token == bindparam("held"))


def _settling(before: State, outcome: State) -> Transition:
    values: dict[str, Any] = {"http_status": bindparam("status"), "detail": bindparam("words")}
    values |= {"state": outcome, "lease_until": null()}
    if outcome is not State.UNKNOWN:
        values["token"] = null()
    if outcome is State.SENT:
        values["sent_at"] = bindparam("sent")
    return Transition(before, _update().values(values))


_START = Transition(
    State.CLAIMED,
    _update()
    .where(interaction.c.lease_until > bindparam("at"))
    .values(
        state=State.SENDING,
        lease_until=bindparam("until"),
        attempts=interaction.c.attempts + 1,
        # of an earlier attempt; its event keeps the words
        http_status=null(),
        detail=null(),
    ),
    also=[interaction.c.lease_until],
)
_SETTLE = {
    (before, outcome): _settling(before, outcome)
    for before in (State.SENDING, State.UNKNOWN)
    for outcome in (State.SENT, State.REJECTED, State.UNKNOWN, State.PLANNED)
    if before is not outcome
}
_STILL_UNKNOWN = (
    _update()
    .where(state_is(State.UNKNOWN))
    .values(http_status=bindparam("status"), detail=bindparam("words"), updated_at=bindparam("at"))
    .returning(interaction.c.id)
)
_VETO = {
    state: Transition(
        State.CLAIMED,
        _update().values(
            state=state, reason=bindparam("why"), detail=bindparam("words"), token=null(), lease_until=null()
        ),
    )
    for state in (State.CANCELLED, State.SKIPPED)
}
