"""New closings enter the ledger; a later closing takes the place of an earlier one that still waits."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Text,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.batches import batches
from include.ledger.columns import Instant, StorableText, milliseconds, names_text, storable
from include.ledger.schema import interaction, interaction_event, state_is
from include.ledger.transition import Transition


@dataclass(slots=True)
class Recorded:
    """What became of the closings that were handed in."""

    planned: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    known: int = 0
    """Were in the ledger already, and are left as they are."""
    superseded: int = 0
    """Planned interactions, old or just recorded, whose conversation has a later closing."""


def transactions(interactions: Sequence[Interaction]) -> Iterator[list[Interaction]]:
    """Cut into transactions.

    Inside each the order is that of the key: two processes that insert the same closings wait for one another
    rather than deadlock.
    """
    for some in batches(interactions):
        yield sorted(some, key=attrgetter("conversation_id", "closed_at"))


def record(
    connection: Connection, batch: Collection[Interaction], now: datetime, by: str, counts: Recorded
) -> None:
    """Insert the closings that are new and add to the counts."""
    insert_new = _insert_sqlite if connection.dialect.name == "sqlite" else _insert_postgresql
    # One parameter for all rows: preparing one for each value takes both drivers longer than the inserting.
    rows = {"rows": json.dumps([_row(one) for one in batch]), "at": now, "by": by}
    known = len(batch)
    for reason, number in insert_new(connection, rows):
        known -= number
        if reason is None:
            counts.planned += number
        else:
            counts.skipped[Reason(reason)] += number
    counts.known += known
    if known < len(batch):
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


def _insert_sqlite(connection: Connection, rows: dict[str, Any]) -> Sequence[Row[str | None, int]]:
    """Insert what is new, each with its event; how many by reason."""
    last = connection.execute(_LAST).scalar_one()  # all beyond is ours: nobody else writes during this transaction
    connection.execute(_INSERT, rows)
    connection.execute(_APPEND_EVENTS, {**rows, "last": last})
    return connection.execute(_COUNT, {"last": last}).all()


def _insert_postgresql(connection: Connection, rows: dict[str, Any]) -> Sequence[Row[str | None, int]]:
    """The same in one statement, since ids tell nothing of who inserted them."""
    return connection.execute(_INSERT_APPEND_COUNT, rows).all()


def _row(one: Interaction) -> list[Any]:
    """The values of `_GIVEN` as the columns hold them."""
    return [
        storable(one.conversation_id),
        milliseconds(one.closed_at),
        milliseconds(one.due_at),
        State.SKIPPED if one.skip else State.PLANNED,
        one.skip,
        _text(one.detail),
        _text(one.customer_id),
        _text(one.customer_name),
        _text(one.customer_email),
        _text(one.agent_id),
        _text(one.agent_email),
        _text(one.agent_name),
        names_text(one.tags),
        one.do_not_send,
    ]


def _text(value: str | None) -> str | None:
    return None if value is None else storable(value)


def _supersede(connection: Connection, conversation_ids: Collection[str], now: datetime, by: str) -> int:
    return len(_SUPERSEDE.apply(connection, now, {"conversations": list(conversation_ids)}, by=by))


def _superseding() -> Transition:
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
    change = (
        update(interaction)
        .where(interaction.c.id.in_(select(waiting.c.id)))
        .values(state=State.CANCELLED, reason=Reason.SUPERSEDED)
    )
    return Transition(State.PLANNED, change)


_GIVEN = [
    interaction.c.conversation_id,
    interaction.c.closed_at,
    interaction.c.due_at,
    interaction.c.state,
    interaction.c.reason,
    interaction.c.detail,
    interaction.c.customer_id,
    interaction.c.customer_name,
    interaction.c.customer_email,
    interaction.c.agent_id,
    interaction.c.agent_email,
    interaction.c.agent_name,
    interaction.c.tags,
    interaction.c.do_not_send,
]
_RECORDED = [*_GIVEN, interaction.c.attempts, interaction.c.created_at, interaction.c.updated_at]
_AT = bindparam("at", type_=Instant)
_NO_ATTEMPTS: ColumnElement[int] = literal_column("0")


def _append_events(new: Any, *where: ColumnElement[bool]) -> Insert:
    """The first event of each row of `new`."""
    event = interaction_event.c
    row = select(new.c.id, _AT, new.c.state, new.c.reason, new.c.detail, bindparam("by", type_=StorableText))
    names = [event.interaction_id, event.at, event.to_state, event.reason, event.detail, event.actor]
    return insert(interaction_event).from_select(names, row.where(*where))


_LAST = select(func.coalesce(func.max(interaction.c.id), 0))
_INSERT = (
    sqlite.insert(interaction)
    .from_select(
        _RECORDED,
        select(
            *(literal_column(f"json_extract(value, '$[{place}]')") for place in range(len(_GIVEN))),
            *(_NO_ATTEMPTS, _AT, _AT),
        )
        .select_from(func.json_each(bindparam("rows")))
        .where(true()),  # or SQLite would read the conflict clause as a join's
    )
    .on_conflict_do_nothing()
)
_ADDED = interaction.c.id > bindparam("last")
_APPEND_EVENTS = _append_events(interaction, _ADDED)
_COUNT = select(interaction.c.reason, func.count()).where(_ADDED).group_by(interaction.c.reason)

_NEW = (
    postgresql.insert(interaction)
    .from_select(
        _RECORDED,
        select(
            *(cast(literal_column(f"value ->> {place}"), column.type) for place, column in enumerate(_GIVEN)),
            *(_NO_ATTEMPTS, _AT, _AT),
        ).select_from(func.json_array_elements(cast(bindparam("rows", type_=Text), postgresql.JSON))),
    )
    .on_conflict_do_nothing()
    .returning(interaction.c.id, interaction.c.state, interaction.c.reason, interaction.c.detail)
    .cte("new")
)
_INSERT_APPEND_COUNT = (
    select(_NEW.c.reason, func.count()).group_by(_NEW.c.reason).add_cte(_append_events(_NEW).cte("events"))
)
_SUPERSEDE = _superseding()
