"""Claiming what is due for one release, and taking back what a dead release held."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, literal_column, null, select, tuple_, update

from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.states import State
from include.ledger.batches import batches
from include.ledger.closings import has_later_closing
from include.ledger.engine import without_waiting_for_the_disk
from include.ledger.schema import interaction, state_is
from include.ledger.transition import Transition

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
    at this moment are passed over. A claim that a crash of the database undoes is no harm: what follows it,
    `sending`, is refused then, and whoever waits for that to be on the disk waits for the claim before it, too.
    """
    without_waiting_for_the_disk(connection)
    token = secrets.token_hex(16)
    claimed: list[ClaimedInteraction] = []
    while len(claimed) < limit:
        moved = _CLAIM.apply(
            connection,
            now,
            {
                "due_from": due_from,
                "due_until": min(due_until, now),
                "most": limit - len(claimed),
                "new_token": token,
                "new_lease": now + lease,
            },
            by=by,
        )
        held = [_claimed(row, token) for row in moved if row.state == State.CLAIMED]
        claimed += held
        if len(held) == len(moved):  # else the cancelled ones had taken places of the limit: look for more
            break
    return sorted(claimed, key=lambda one: (one.interaction.due_at, one.id))


def give_back(
    connection: Connection, now: datetime, claimed: Sequence[ClaimedInteraction], detail: str | None
) -> int:
    """Claimed → planned for those that are still held; returns how many were."""
    given = 0
    for held in batches(claimed):
        values = {"held": [(one.id, one.token) for one in held], "words": detail}
        given += len(_GIVE_BACK.apply(connection, now, values, detail=detail))
    return given


def recover(connection: Connection, now: datetime, by: str) -> Recovered:
    """What is held past its lease: claimed → planned, sending → unknown (its holder may still come back)."""
    planned, unknown = (len(step.apply(connection, now, {}, detail=LEASE_OVER, by=by)) for step in _RECOVER)
    return Recovered(planned, unknown)


def _claimed(row: Row[Any], token: str) -> ClaimedInteraction:
    columns = row._mapping
    return ClaimedInteraction(
        row.id, token, Interaction(**{name: columns[name] for name in _OF_INTERACTION}), row.attempts
    )


def _claiming() -> Transition:
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

    change = (
        update(interaction)
        .where(interaction.c.id == candidate.c.id)
        .values(
            state=case((candidate.c.superseded, literal_column("'cancelled'")), else_=literal_column("'claimed'")),
            reason=case((candidate.c.superseded, literal_column("'superseded'"))),
            token=unless_superseded(bindparam("new_token", type_=interaction.c.token.type)),
            lease_until=unless_superseded(bindparam("new_lease", type_=interaction.c.lease_until.type)),
        )
    )
    return Transition(State.PLANNED, change, also=[interaction.c[name] for name in ("attempts", *_OF_INTERACTION)])


def _recovering(before: State, after: State) -> Transition:
    over = (
        select(interaction.c.id)
        .where(state_is(before), interaction.c.lease_until <= bindparam("at"))
        .with_for_update(skip_locked=True)  # whoever locks such a row is just moving it
        .cte("over")
    )
    change = (
        update(interaction)
        .where(interaction.c.id.in_(select(over.c.id)))
        .values(state=after, lease_until=null(), detail=LEASE_OVER)
    )
    if after is State.PLANNED:
        change = change.values(token=null())
    return Transition(before, change)


_OF_INTERACTION = [field.name for field in fields(Interaction) if field.name != "skip"]
_CLAIM = _claiming()
_RECOVER = (_recovering(State.CLAIMED, State.PLANNED), _recovering(State.SENDING, State.UNKNOWN))
_GIVE_BACK = Transition(
    State.CLAIMED,
    update(interaction)
    .where(tuple_(interaction.c.id, interaction.c.token).in_(bindparam("held", expanding=True)))
    .values(state=State.PLANNED, token=null(), lease_until=null(), detail=bindparam("words")),
)
