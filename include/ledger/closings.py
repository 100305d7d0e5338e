"""New closings enter the ledger; a later closing takes the place of an earlier one that still waits."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, bindparam, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from include.interactions.interaction import Interaction
from include.interactions.states import Reason, State
from include.ledger import events
from include.ledger.schema import interaction, state_is

BATCH = 1_000
"""Interactions in one transaction: bounds memory, and how long other writers wait."""


@dataclass(slots=True)
class Recorded:
    """What became of the closings that were handed in."""

    planned: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    known: int = 0
    """Were in the ledger already, and are left as they are."""
    superseded: int = 0
    """Planned interactions, old or just recorded, whose conversation has a later closing."""


def batches(interactions: Sequence[Interaction]) -> Iterator[list[Interaction]]:
    """Cut into transactions.

    Inside each the order is that of the key: two processes that insert the same closings wait for one another
    rather than deadlock.
    """
    for start in range(0, len(interactions), BATCH):
        yield sorted(interactions[start : start + BATCH], key=attrgetter("conversation_id", "closed_at"))


def record(
    connection: Connection, batch: Collection[Interaction], now: datetime, by: str, counts: Recorded
) -> None:
    """Insert the closings that are new and add to the counts."""
    new = _insert(connection, [_row(one, now) for one in batch])
    counts.known += len(batch) - len(new)
    for (state, reason, detail), ids in _alike(new).items():
        events.append(connection, ids, now, (None, state), reason=reason, detail=detail, by=by)
        if reason is None:
            counts.planned += len(ids)
        else:
            counts.skipped[Reason(reason)] += len(ids)
    if new:
        counts.superseded += _supersede(connection, {one.conversation_id for one in batch}, now, by)


def has_later_closing() -> ColumnElement[bool]:
    """The condition that a later closing of the same conversation will be, or has been, sent."""
    later = interaction.alias("later")
    return exists(
        select(later.c.id).where(
            later.c.conversation_id == interaction.c.conversation_id,
            later.c.closed_at > interaction.c.closed_at,
            state_is(State.PLANNED, State.CLAIMED, State.SENDING, State.SENT, State.UNKNOWN, row=later),
        )
    )


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> Sequence[Any]:
    # Which rows are new is told by RETURNING: the row count of ON CONFLICT DO NOTHING is -1 on PostgreSQL.
    if connection.dialect.name == "sqlite":
        return connection.execute(_INSERT_ROWS, rows).all()
    # A list for each column, since psycopg needs a tenth of a second to read a statement of 17,000 parameters.
    return connection.execute(_INSERT_LISTS, {name: [row[name] for row in rows] for name in _RECORDED}).all()


def _row(one: Interaction, now: datetime) -> dict[str, Any]:
    return {
        "conversation_id": one.conversation_id,
        "closed_at": one.closed_at,
        "due_at": one.due_at,
        "state": State.SKIPPED if one.skip else State.PLANNED,
        "reason": one.skip,
        "detail": one.detail,
        "customer_id": one.customer_id,
        "customer_name": one.customer_name,
        "customer_email": one.customer_email,
        "agent_id": one.agent_id,
        "agent_email": one.agent_email,
        "agent_name": one.agent_name,
        "tags": one.tags,
        "do_not_send": one.do_not_send,
        "attempts": 0,
        "created_at": now,
        "updated_at": now,
    }


def _alike(rows: Sequence[Any]) -> dict[tuple[State, str | None, str | None], list[int]]:
    groups: dict[tuple[State, str | None, str | None], list[int]] = {}
    for row in rows:
        groups.setdefault((State(row.state), row.reason, row.detail), []).append(row.id)
    return groups


def _supersede(connection: Connection, conversation_ids: Collection[str], now: datetime, by: str) -> int:
    cancelled = connection.execute(_SUPERSEDE, {"conversations": list(conversation_ids), "at": now}).scalars()
    transition = (State.PLANNED, State.CANCELLED)
    return events.append(connection, cancelled, now, transition, reason=Reason.SUPERSEDED, by=by)


def _supersede_statement() -> Update:
    # A row that another process holds at this moment is passed over, not waited for (no deadlock): a claim
    # looks for later closings again.
    earlier = (
        select(interaction.c.id)
        .where(interaction.c.conversation_id.in_(bindparam("conversations", expanding=True)), has_later_closing())
        .cte("earlier")
        .prefix_with("MATERIALIZED")  # or PostgreSQL may walk through everything planned
    )
    waiting = (
        select(interaction.c.id)
        .where(interaction.c.id.in_(select(earlier.c.id)), state_is(State.PLANNED))
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    return (
        update(interaction)
        .where(interaction.c.id.in_(select(waiting.c.id)), state_is(State.PLANNED))
        .values(state=State.CANCELLED, reason=Reason.SUPERSEDED, updated_at=bindparam("at"))
        .returning(interaction.c.id)
    )


_RECORDED = [
    "conversation_id",
    "closed_at",
    "due_at",
    "state",
    "reason",
    "detail",
    "customer_id",
    "customer_name",
    "customer_email",
    "agent_id",
    "agent_email",
    "agent_name",
    "tags",
    "do_not_send",
    "attempts",
    "created_at",
    "updated_at",
]
_NEW = (interaction.c.id, interaction.c.state, interaction.c.reason, interaction.c.detail)
_INSERT_ROWS = sqlite.insert(interaction).on_conflict_do_nothing().returning(*_NEW)
_INSERT_LISTS = (
    postgresql.insert(interaction)
    .from_select(
        _RECORDED,
        select(
            *(
                func.unnest(bindparam(name, type_=postgresql.ARRAY(interaction.c[name].type, dimensions=1)))
                for name in _RECORDED
            )
        ),
    )
    .on_conflict_do_nothing()
    .returning(*_NEW)
)
_SUPERSEDE = _supersede_statement()
