"""What tasks and people ask of the ledger beside its reports."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from include.interactions.actor import Actor
from include.interactions.reasons import Reason
from include.interactions.span import Watermark
from include.interactions.states import State
from include.interactions.survey_plan import UNMAPPED
from include.ledger.schema import interaction, interaction_event, state_is, watermark
from include.ledger.store import Store

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
    refused = _count(connection, state_is(State.REJECTED), interaction.c.updated_at >= since)
    return refused, _count(connection, interaction.c.sent_at >= since)


class QueryStore(Store):
    """Counts and histories."""

    def counts(self) -> Counts:
        """Count interactions by (state, reason).

        Reads the whole table: for people and small ledgers. `backlog` is cheap at any size.
        """
        columns = (interaction.c.state, interaction.c.reason)
        with self._reader.begin() as connection:
            rows = connection.execute(select(*columns, func.count()).group_by(*columns)).all()
        return {(State(state), Reason(reason) if reason else None): number for state, reason, number in rows}

    def backlog(self, grace: timedelta = timedelta(0)) -> Backlog:
        """Count what waits, is overdue by more than the grace, is held or unknown; cheap at any size."""
        is_planned, is_held = state_is(State.PLANNED), state_is(State.CLAIMED, State.SENDING)
        with self._reader.begin() as connection:
            planned, oldest = connection.execute(
                select(func.count(), func.min(interaction.c.due_at)).where(is_planned)
            ).one()
            overdue = _count(connection, is_planned, interaction.c.due_at < self._now() - grace)
            held, unknown = _count(connection, is_held), _count(connection, state_is(State.UNKNOWN))
        return Backlog(planned=planned, overdue=overdue, oldest_due=oldest, held=held, unknown=unknown)

    def unread_opt_outs(self) -> int:
        """Count planned interactions whose opt-out Kustomer showed masked."""
        with self._reader.begin() as connection:
            return _count(connection, state_is(State.PLANNED), interaction.c.do_not_send.is_(None))

    def unmapped(self, closed_since: datetime) -> int:
        """Count closings since then that were skipped because the settings' mapping had no entry for them."""
        is_unmapped = interaction.c.reason.in_(UNMAPPED.values())
        with self._reader.begin() as connection:
            return _count(connection, is_unmapped, interaction.c.closed_at >= closed_since)

    def history(self, conversation_id: str) -> list[Event]:
        """List every event of the conversation's closings, in order."""
        with self._reader.begin() as connection:
            return history(connection, conversation_id)


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).where(*conditions)).scalar_one()


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
