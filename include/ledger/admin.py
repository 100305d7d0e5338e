"""What people do to the ledger by hand, and the end of personal data.

Each act either does what was asked or raises `ActRefusedError` and changes nothing. It works on rows that it has
locked first, so that no release moves them meanwhile.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, null, or_, select, update

from include.interactions.addresses import same_address
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.batches import BATCH, batches
from include.ledger.closings import has_later_closing
from include.ledger.maintenance import restoring
from include.ledger.schema import interaction, interaction_event, state_is, survey_response
from include.ledger.transition import Transition, note

_OF_CUSTOMER = ("customer_id", "customer_name", "customer_email", "tags")
_OF_ANYBODY = (*_OF_CUSTOMER, "agent_id", "agent_email", "agent_name")
_FINAL = state_is(State.SENT, State.REJECTED, State.CANCELLED, State.SKIPPED)
_HELD = (State.CLAIMED, State.SENDING)


class ActRefusedError(Exception):
    """The act does not fit what the ledger holds; the message says why, and names nobody."""


def cancel(
    connection: Connection, now: datetime, conversation_id: str, closed_at: datetime | None, by: str, why: str
) -> dict[str, int]:
    """Planned → cancelled."""
    row = _one(connection, conversation_id, closed_at, State.PLANNED)
    _move(connection, now, [row.id], (State.PLANNED, State.CANCELLED), Reason.BY_HAND, why, by)
    return {"cancelled": 1}


def release_now(
    connection: Connection, now: datetime, conversation_id: str, closed_at: datetime | None, by: str, why: str
) -> dict[str, int]:
    """Make a planned interaction due at this instant: whichever release comes next sends it.

    Its expiry counts from this instant too. The person claims it and gives it back at once: two legal steps with
    their two events, for there is no event without a step.
    """
    row = _one(connection, conversation_id, closed_at, State.PLANNED)
    token = {"token": secrets.token_hex(16), "lease_until": now + timedelta(minutes=1)}
    _move(connection, now, [row.id], (State.PLANNED, State.CLAIMED), None, why, by, **token)
    due = {"token": None, "lease_until": None, "due_at": max(now, row.closed_at)}
    _move(connection, now, [row.id], (State.CLAIMED, State.PLANNED), None, why, by, **due)
    return {"due_now": 1}


def settle(
    connection: Connection,
    now: datetime,
    conversation_id: str,
    closed_at: datetime | None,
    outcome: State,
    by: str,
    why: str,
) -> dict[str, int]:
    """Unknown → sent, planned (to be sent again) or cancelled.

    What is settled as sent counts as sent when Data Return says so, else when its request left.
    """
    row = _one(connection, conversation_id, closed_at, State.UNKNOWN)
    values: dict[str, Any] = {"token": None}
    shown, shown_at = connection.execute(
        select(
            func.count(),
            func.min(func.coalesce(survey_response.c.request_created_at, survey_response.c.read_at)),
        ).where(survey_response.c.interaction_id == row.id)
    ).one()
    if outcome is State.SENT:
        attempted_at = connection.execute(
            select(func.max(interaction_event.c.at)).where(
                interaction_event.c.interaction_id == row.id, interaction_event.c.to_state == State.SENDING
            )
        ).scalar()
        values["sent_at"] = shown_at or attempted_at or row.updated_at
    elif shown:
        raise ActRefusedError(
            f"Stella Connect shows the interaction of conversation {conversation_id}, closed "
            f"{_iso(row.closed_at)}: it was taken. Settle it as sent."
        )
    elif outcome is State.PLANNED and (row.customer_email is None or row.agent_email is None):
        raise ActRefusedError(
            f"The addresses of conversation {conversation_id}, closed {_iso(row.closed_at)}, have been erased: "
            f"it cannot be sent again. Settle it as sent or cancelled."
        )
    reason = Reason.BY_HAND if outcome is State.CANCELLED else None
    _move(connection, now, [row.id], (State.UNKNOWN, outcome), reason, why, by, **values)
    return {str(outcome): 1}


def send_again(
    connection: Connection, now: datetime, agent_email: str, expire_after: timedelta, by: str, why: str
) -> dict[str, int]:
    """Skipped for want of an approved profile → planned, for one agent and within the expiry.

    What is past its expiry, has a later closing or no address any more is left and counted.
    """
    refused = (state_is(State.SKIPPED), interaction.c.reason == Reason.AGENT_PROFILE_NOT_APPROVED)
    spellings = _spellings(connection, interaction.c.agent_email, agent_email, *refused)
    of_agent = (*refused, interaction.c.agent_email.in_(spellings))
    candidates = connection.execute(select(func.count()).where(*of_agent)).scalar_one()
    if not candidates:
        raise ActRefusedError(
            "No interaction of this agent is skipped for want of an approved profile: the address is another, or "
            "they have been sent again already."
        )
    ids = (
        connection.execute(
            select(interaction.c.id)
            .where(
                *of_agent,
                interaction.c.due_at > now - expire_after,
                interaction.c.customer_email.is_not(None),
                ~has_later_closing(),
            )
            .order_by(interaction.c.id)
            .with_for_update(of=interaction)
        )
        .scalars()
        .all()
    )
    if not ids:
        raise ActRefusedError(
            f"{candidates} interactions of this agent are skipped for want of an approved profile, and none may be "
            f"sent again: past their expiry, followed by a later closing, or erased."
        )
    transition = (State.SKIPPED, State.PLANNED)
    _move(connection, now, ids, transition, None, why, by, agent_profile=None)
    doubted = sum(restoring.doubt(connection, now, by, some) for some in batches(ids))
    counts = {"planned": len(ids) - doubted, "left": candidates - len(ids)}
    return counts | ({"unknown": doubted} if doubted else {})


def erase(connection: Connection, now: datetime, customer: str, by: str, why: str) -> dict[str, int]:
    """Take everything that tells of a customer, by id or e-mail address, out of the ledger; states and times stay.

    By address: everything of the customers who ever had it. What is planned is cancelled; the history of all else
    gets a note. The words of their earlier events go too.
    """
    rows = connection.execute(
        select(interaction.c.id, interaction.c.state)
        .where(_is_customer(connection, customer))
        .order_by(interaction.c.id)
        .with_for_update(key_share=True)  # no deadlock with who adds a survey response meanwhile
    ).all()
    if not rows:
        raise ActRefusedError("The ledger holds nothing of this customer: check the id or the address.")
    if held := sum(row.state in _HELD for row in rows):
        raise ActRefusedError(
            f"{held} interactions of this customer are being sent at this moment. Try again in ten minutes."
        )
    comments = 0
    for ids in batches([row.id for row in rows]):
        connection.execute(
            update(interaction_event).where(interaction_event.c.interaction_id.in_(ids)).values(detail=None)
        )
        connection.execute(update(interaction).where(interaction.c.id.in_(ids)).values(detail=None))
    planned = [row.id for row in rows if row.state == State.PLANNED]
    _move(connection, now, planned, (State.PLANNED, State.CANCELLED), Reason.ERASED, why, by)
    # The holder of an unknown one may come back to plan it again, which takes an address: it must find it taken.
    for ids in batches([row.id for row in rows if row.state == State.UNKNOWN]):
        fresh = secrets.token_hex(16)
        connection.execute(update(interaction).where(interaction.c.id.in_(ids)).values(token=fresh))
    for ids in batches([row.id for row in rows]):
        comments += _blank(connection, ids, _OF_CUSTOMER)
    _tell_erasure(connection, now, [row for row in rows if row.state != State.PLANNED], why, by)
    return {"erased": len(rows), "cancelled": len(planned), "comments": comments}


def retain(
    connection: Connection, now: datetime, before: datetime, after_id: int, by: str, why: str
) -> Sequence[int]:
    """Erase the personal data of up to `BATCH` final interactions that have not moved since `before`.

    Goes through the ledger in the order of the row ids, from `after_id` on; returns the ids it erased, none at the
    end. Rows that somebody holds at this moment are left for the next day.
    """
    rows = connection.execute(
        select(interaction.c.id, interaction.c.state)
        .where(
            interaction.c.id > after_id,
            _FINAL,
            interaction.c.updated_at < before,
            or_(*(interaction.c[name].is_not(None) for name in _OF_ANYBODY)),
        )
        .order_by(interaction.c.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    ids = [row.id for row in rows]
    if ids:
        _blank(connection, ids, _OF_ANYBODY)
        _tell_erasure(connection, now, rows, why, by)
    return ids


def drop_late_comments(connection: Connection) -> int:
    """Drop the comments of erased interactions: one may be recorded in the very moment of the erasure."""
    erased = select(interaction.c.id).where(
        interaction.c.id == survey_response.c.interaction_id, interaction.c.customer_email.is_(None)
    )
    dropped = connection.execute(
        update(survey_response)
        .where(survey_response.c.comment.is_not(None), erased.exists())
        .values(comment=None)
        .returning(survey_response.c.uuid)
    )
    return len(dropped.all())


def _one(connection: Connection, conversation_id: str, closed_at: datetime | None, state: State) -> Any:
    """The locked row of the conversation that stands in this state."""
    rows = connection.execute(
        select(interaction)
        .where(interaction.c.conversation_id == conversation_id)
        .order_by(interaction.c.closed_at)
        .with_for_update()
    ).all()
    if not rows:
        raise ActRefusedError(f"The ledger knows no conversation {conversation_id!r:.80}.")
    standing = "; ".join(f"closed {_iso(row.closed_at)}: {row.state}" for row in rows)
    fitting = [row for row in rows if row.state == state and closed_at in (None, row.closed_at)]
    if not fitting:
        closing = "" if closed_at is None else f" closed {_iso(closed_at)}"
        raise ActRefusedError(f"Conversation {conversation_id} has no {state} interaction{closing} ({standing}).")
    if len(fitting) > 1:
        raise ActRefusedError(
            f"Conversation {conversation_id} has {len(fitting)} {state} interactions ({standing}): say which "
            f"by the time of its closing."
        )
    return fitting[0]


def _move(
    connection: Connection,
    now: datetime,
    ids: Sequence[int],
    transition: tuple[State, State],
    reason: Reason | None,
    detail: str,
    by: str,
    **values: Any,
) -> None:
    before, after = transition
    for some in batches(ids):
        change = update(interaction).where(interaction.c.id.in_(some))
        change = change.values(state=after, reason=reason, detail=detail, **values)
        Transition(before, change).apply(connection, now, {}, detail=detail, by=by)


def _tell_erasure(connection: Connection, now: datetime, rows: Sequence[Any], why: str, by: str) -> None:
    """Tell in the history that personal data went, where no step of the interaction tells it."""
    for state in {row.state for row in rows}:
        ids = [row.id for row in rows if row.state == state]
        note(connection, now, ids, state, Reason.ERASED, why, by)


def _blank(connection: Connection, ids: Sequence[int], columns: Sequence[str]) -> int:
    """Erase these columns and the customer's own words; returns how many comments went.

    `updated_at` stays: it says when the interaction last moved.
    """
    connection.execute(update(interaction).where(interaction.c.id.in_(ids)).values(dict.fromkeys(columns, null())))
    comments = connection.execute(
        update(survey_response)
        .where(survey_response.c.interaction_id.in_(ids), survey_response.c.comment.is_not(None))
        .values(comment=None)
        .returning(survey_response.c.uuid)
    )
    return len(comments.all())


def _is_customer(connection: Connection, customer: str) -> ColumnElement[bool]:
    if "@" not in customer:
        return interaction.c.customer_id == customer.strip()
    spellings = _spellings(connection, interaction.c.customer_email, customer)
    had_it = interaction.c.customer_email.in_(spellings)
    return or_(had_it, interaction.c.customer_id.in_(select(interaction.c.customer_id).where(had_it)))


def _spellings(
    connection: Connection, column: ColumnElement[Any], address: str, *among: ColumnElement[bool]
) -> list[str]:
    # Folded here, not in SQL: SQLite's lower() knows ASCII only, PostgreSQL's depends on the server's locale.
    known = connection.execute(select(column).where(column.is_not(None), *among).distinct()).scalars()
    return [one for one in known if same_address(one) == same_address(address)]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
