"""Read-only queries on the ledger."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from include.interactions.actor import Actor
from include.interactions.reasons import Reason
from include.interactions.span import Watermark
from include.interactions.states import State
from include.ledger.schema import interaction, interaction_event, state_is, watermark

Counts = dict[tuple[State, Reason | None], int]


@dataclass(frozen=True, slots=True)
class Backlog:
    """The unfinished interactions."""

    planned: int
    overdue: int
    """Planned, and due for longer than the grace."""
    oldest_due: datetime | None
    """The earliest due time of a planned interaction."""
    held: int
    """Claimed or sending."""
    unknown: int


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a conversation's history."""

    interaction_id: int
    closed_at: datetime
    due_at: datetime
    at: datetime
    from_state: State | None
    """None for the first event."""
    to_state: State
    reason: Reason | None
    detail: str | None
    by: Actor | None
    """The holder of the claim, if the step named no actor. None once erased."""


EXTRACTION = "extraction"
"""The name of the watermark: there is one."""


def read_watermark(connection: Connection) -> Watermark | None:
    """Return the span whose closings have all been recorded; None before the first extraction."""
    row = connection.execute(
        select(watermark.c.covered_from, watermark.c.covered_until).where(watermark.c.name == EXTRACTION)
    ).first()
    return None if row is None else Watermark(row.covered_from, row.covered_until)


def count_refused_and_sent(connection: Connection, since: datetime) -> tuple[int, int]:
    """Count the interactions that Stella Connect refused, and those that it took, since then."""
    refused = select(func.count()).where(state_is(State.REJECTED), interaction.c.updated_at >= since)
    sent = select(func.count()).where(interaction.c.sent_at >= since)
    return connection.execute(refused).scalar_one(), connection.execute(sent).scalar_one()


def counts(connection: Connection) -> Counts:
    """Interactions by state and reason.

    Reads the whole table: for people and small ledgers. `backlog` is cheap at any size.
    """
    columns = (interaction.c.state, interaction.c.reason)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    return {(State(state), Reason(reason) if reason else None): number for state, reason, number in rows}


def backlog(connection: Connection, now: datetime, grace: timedelta) -> Backlog:
    """Count what waits, is held or is unknown, from the two partial indexes alone."""
    planned, oldest = connection.execute(
        select(func.count(), func.min(interaction.c.due_at)).where(state_is(State.PLANNED))
    ).one()
    overdue = connection.execute(
        select(func.count()).where(state_is(State.PLANNED), interaction.c.due_at < now - grace)
    ).scalar_one()
    held = connection.execute(select(func.count()).where(state_is(State.CLAIMED, State.SENDING))).scalar_one()
    unknown = connection.execute(select(func.count()).where(state_is(State.UNKNOWN))).scalar_one()
    return Backlog(planned=planned, overdue=overdue, oldest_due=oldest, held=held, unknown=unknown)


def unread_opt_outs(connection: Connection) -> int:
    """Count planned interactions whose opt-out could not be read."""
    unread = state_is(State.PLANNED) & interaction.c.do_not_send.is_(None)
    return connection.execute(select(func.count()).where(unread)).scalar_one()


def unmapped(connection: Connection, closed_since: datetime) -> int:
    """Count closings that the settings' mapping had no entry for."""
    reasons = [Reason.UNMAPPED_CHANNEL, Reason.UNMAPPED_BRAND, Reason.UNMAPPED_LANGUAGE, Reason.UNMAPPED_COUNTRY]
    skipped = interaction.c.reason.in_(reasons) & (interaction.c.closed_at >= closed_since)
    return connection.execute(select(func.count()).where(skipped)).scalar_one()


def actor_of(row: Any) -> Actor | None:
    """Return who the event of this row names; None for the holder of the claim, or once erased."""
    if row.run_id is None and row.person is None:
        return None
    return Actor(row.dag_id, row.run_id, row.person)


def history(connection: Connection, conversation_id: str) -> list[Event]:
    """List every event of the conversation's closings, closing by closing."""
    rows = connection.execute(
        select(interaction.c.closed_at, interaction.c.due_at, interaction_event)
        .join(interaction_event, interaction_event.c.interaction_id == interaction.c.id)
        .where(interaction.c.conversation_id == conversation_id)
        .order_by(interaction.c.closed_at, interaction_event.c.id)
    )
    story: list[Event] = []
    holder: Actor | None = None
    for row in rows:
        if row.to_state == State.CLAIMED:
            holder = actor_of(row)
        story.append(
            Event(
                interaction_id=row.interaction_id,
                closed_at=row.closed_at,
                due_at=row.due_at,
                at=row.at,
                from_state=State(row.from_state) if row.from_state else None,
                to_state=State(row.to_state),
                reason=Reason(row.reason) if row.reason else None,
                detail=row.detail,
                by=actor_of(row) or holder,
            )
        )
    return story
