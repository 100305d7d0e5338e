"""The cap's part of the ledger: how many surveys a customer got, read in the transaction that commits the next one.

A customer is known by the keyed hash of the address, which outlives the address.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, not_, or_, select, text

from include.interactions.cap import Cap, Capped, check_cap
from include.interactions.states import State
from include.ledger.schema import interaction, state_is, survey_response

_NEVER_MAILED = "not sent%"
"""How Stella Connect's delivery statuses of surveys begin that were not mailed (fact sheet, section 2.5)."""


def find_cap(connection: Connection, interaction_id: int, cap: Cap, now: datetime) -> Capped | None:
    """Return why this claimed interaction may not bring a survey now, or None if it may.

    Until the transaction ends, no other process decides about the same customer: on SQLite because it writes, on
    PostgreSQL by a lock on the customer's key. Its isolation must be READ COMMITTED, so that it sees what the last
    holder of the lock committed.
    """
    row = connection.execute(
        select(interaction.c.customer_key, interaction.c.brand, interaction.c.closed_at).where(
            interaction.c.id == interaction_id
        )
    ).one()
    if row.customer_key is None:
        return None
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
        connection.execute(lock, {"key": f"cap {row.customer_key}"})
    others = [interaction.c.customer_key == row.customer_key, interaction.c.id != interaction_id]
    if cap.per_brand:
        others.append(interaction.c.brand.is_not_distinct_from(row.brand))
    return check_cap(
        cap,
        connection.execute(_asked_at(others, now - cap.span)).scalars(),
        later_waits=cap.prefer == "latest" and connection.execute(_later_waits(others, row.closed_at)).scalar_one(),
        now=now,
    )


def _asked_at(others: list[ColumnElement[bool]], since: datetime) -> Select[datetime]:
    """Select when surveys were sent, or may have been sent."""
    left_at = case((state_is(State.SENT), interaction.c.sent_at), else_=interaction.c.updated_at)
    return select(left_at).where(
        *others,
        state_is(State.SENT, State.SENDING, State.UNKNOWN),
        interaction.c.sent_do_not_send.is_not(True),
        left_at > since,
        not_(_was_never_mailed()),
    )


def _was_never_mailed() -> ColumnElement[bool]:
    """Return the condition that all records of Stella Connect about a request say so."""
    of_it = survey_response.c.interaction_id == interaction.c.id
    status = func.lower(survey_response.c.delivery_status)
    says_so = status.like(_NEVER_MAILED)
    return and_(
        exists(select(survey_response.c.uuid).where(of_it, says_so)),
        not_(exists(select(survey_response.c.uuid).where(of_it, or_(status.is_(None), not_(says_so))))),
    )


def _later_waits(others: list[ColumnElement[bool]], closed_at: datetime) -> Select[bool]:
    """Select whether a later closing of the customer waits for its own survey."""
    waiting = select(interaction.c.id).where(
        *others,
        state_is(State.PLANNED, State.CLAIMED),
        interaction.c.closed_at > closed_at,
        interaction.c.survey.is_(None),
        interaction.c.do_not_send.is_not(True),
    )
    return select(exists(waiting))
