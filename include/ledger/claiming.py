"""Claiming what is due for one release, and taking back what a dead release held."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Update, bindparam, case, literal_column, null, select, tuple_, update

from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.states import Reason, State
from include.ledger import events
from include.ledger.batches import batches
from include.ledger.closings import has_later_closing
from include.ledger.schema import interaction, state_is

LEASE_OVER = "lease over"


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many interactions a dead or stuck release had left behind."""

    planned: int
    """Nothing of them had been sent: they wait again."""
    unknown: int
    """Their request may have been taken."""


def claim(
    connection: Connection,
    now: datetime,
    due_from: datetime,
    due_until: datetime,
    limit: int,
    lease: timedelta,
    by: str,
) -> list[ClaimedInteraction]:
    """Take up to `limit` planned interactions due in [due_from, due_until] and by now, oldest first.

    One whose conversation has a later closing is cancelled instead. Rows that another process is claiming
    at this moment are passed over.
    """
    token = secrets.token_hex(16)
    claimed: list[ClaimedInteraction] = []
    while len(claimed) < limit:
        moved = connection.execute(
            _CLAIM,
            {
                "due_from": due_from,
                "due_until": min(due_until, now),
                "most": limit - len(claimed),
                "new_token": token,
                "new_lease": now + lease,
                "at": now,
            },
        ).all()
        held = [row for row in moved if row.state == State.CLAIMED]
        passed = [row.id for row in moved if row.state == State.CANCELLED]
        events.append(connection, (row.id for row in held), now, (State.PLANNED, State.CLAIMED), by=by)
        transition = (State.PLANNED, State.CANCELLED)
        events.append(connection, passed, now, transition, reason=Reason.SUPERSEDED, by=by)
        claimed += map(_claimed, held)
        if not passed:  # else the cancelled ones had taken places of the limit: look for more
            break
    return sorted(claimed, key=lambda one: (one.interaction.due_at, one.id))


def give_back(
    connection: Connection, now: datetime, claimed: Sequence[ClaimedInteraction], detail: str | None
) -> int:
    """Claimed → planned for those that are still held; returns how many were."""
    given = 0
    for held in batches(claimed):
        ids = connection.execute(
            _GIVE_BACK, {"held": [(one.id, one.token) for one in held], "words": detail, "at": now}
        ).scalars()
        given += events.append(connection, ids, now, (State.CLAIMED, State.PLANNED), detail=detail)
    return given


def recover(connection: Connection, now: datetime, by: str) -> Recovered:
    """What is held past its lease: claimed → planned, sending → unknown (its holder may still come back)."""
    moved = {}
    for transition, statement in _RECOVER.items():
        ids = connection.execute(statement, {"at": now}).scalars()
        moved[transition[1]] = events.append(connection, ids, now, transition, detail=LEASE_OVER, by=by)
    return Recovered(planned=moved[State.PLANNED], unknown=moved[State.UNKNOWN])


def _claimed(row: Any) -> ClaimedInteraction:
    return ClaimedInteraction(
        id=row.id,
        token=row.token,
        attempts=row.attempts,
        interaction=Interaction(
            conversation_id=row.conversation_id,
            closed_at=row.closed_at,
            due_at=row.due_at,
            detail=row.detail,
            customer_id=row.customer_id,
            customer_name=row.customer_name,
            customer_email=row.customer_email,
            agent_id=row.agent_id,
            agent_email=row.agent_email,
            agent_name=row.agent_name,
            tags=row.tags,
            do_not_send=row.do_not_send,
        ),
    )


def _claim_statement() -> Update:
    # The locking CTE is worked out once; as a plain subquery PostgreSQL may repeat it and claim too many.
    candidate = (
        select(interaction.c.id, has_later_closing().label("superseded"))
        .where(
            state_is(State.PLANNED),
            interaction.c.due_at >= bindparam("due_from"),
            interaction.c.due_at <= bindparam("due_until"),
        )
        .order_by(interaction.c.due_at, interaction.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=interaction)
        .cte("candidate")
    )

    def unless_superseded(value: Any) -> Any:
        return case((candidate.c.superseded, null()), else_=value)

    return (
        update(interaction)
        .where(interaction.c.id == candidate.c.id, state_is(State.PLANNED))
        .values(
            state=case((candidate.c.superseded, literal_column("'cancelled'")), else_=literal_column("'claimed'")),
            reason=case((candidate.c.superseded, literal_column("'superseded'"))),
            token=unless_superseded(bindparam("new_token", type_=interaction.c.token.type)),
            lease_until=unless_superseded(bindparam("new_lease", type_=interaction.c.lease_until.type)),
            updated_at=bindparam("at"),
        )
        .returning(interaction)
    )


def _recover_statement(before: State, after: State) -> Update:
    over = (
        select(interaction.c.id)
        .where(state_is(before), interaction.c.lease_until <= bindparam("at"))
        .with_for_update(skip_locked=True)  # whoever locks such a row is just moving it
        .cte("over")
    )
    statement = (
        update(interaction)
        .where(interaction.c.id.in_(select(over.c.id)), state_is(before))
        .values(state=after, lease_until=None, detail=LEASE_OVER, updated_at=bindparam("at"))
    )
    if after is State.PLANNED:
        statement = statement.values(token=None)
    return statement.returning(interaction.c.id)


_CLAIM = _claim_statement()
_RECOVER = {
    (before, after): _recover_statement(before, after)
    for before, after in ((State.CLAIMED, State.PLANNED), (State.SENDING, State.UNKNOWN))
}
_GIVE_BACK = (
    update(interaction)
    .where(
        tuple_(interaction.c.id, interaction.c.token).in_(bindparam("held", expanding=True)),
        state_is(State.CLAIMED),
    )
    .values(
        state=State.PLANNED, token=None, lease_until=None, detail=bindparam("words"), updated_at=bindparam("at")
    )
    .returning(interaction.c.id)
)
