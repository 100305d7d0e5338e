"""Erase personal data: of one customer on request, of all people after the retention."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, null, or_, select, update

from include.interactions.actor import Actor
from include.interactions.cap import customer_key
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.batches import BATCH, batches
from include.ledger.by_hand import ActionRefusedError, ByHandStore, move
from include.ledger.customer_keys import read_secret
from include.ledger.schema import PERSONAL_WORDS, interaction, interaction_event, state_is, survey_response
from include.ledger.transition import note
from include.ledger.writing import drop_writes

_WITH_ADDRESS = ("customer_id", "customer_name", "customer_email", "tags", "sent_request")
_RETAINED = (*_WITH_ADDRESS, "custom_properties", "time_zone", "facts")
_OF_CUSTOMER = (*_RETAINED, "customer_key")
_OF_ANYBODY = (*_RETAINED, "agent_id", "agent_email", "agent_name")
_FINAL = state_is(State.SENT, State.REJECTED, State.CANCELLED, State.SKIPPED)
_HELD = (State.CLAIMED, State.SENDING)


class ErasingStore(ByHandStore):
    """Erases personal data from the ledger; states and times stay."""

    def erase_customer(self, customer: str, by: Actor, why: str, *, dry_run: bool) -> dict[str, int]:
        """Erase everything that the ledger holds of a person, by customer id or e-mail address.

        Planned interactions are cancelled; the history of the others gets a note. The details of their earlier
        events are erased too.

        Returns:
            Counts: interactions `erased` and of them `cancelled`, `answers` that lost their words, and the
            `customer_ids` and `addresses` under which the person was found.
        """
        with self._by_hand(dry_run) as connection:
            now = self._now()
            rows = _lock_customer(connection, customer, now)
            ids = [row.id for row in rows]
            _drop_words(connection, ids)
            planned = [row.id for row in rows if row.state == State.PLANNED]
            move(connection, now, planned, (State.PLANNED, State.CANCELLED), Reason.ERASED, why, by)
            _lock_out_holders(connection, [row.id for row in rows if row.state == State.UNKNOWN])
            answers = sum(_blank(connection, some, _OF_CUSTOMER) for some in batches(ids))
            _note_erasure(connection, now, [row for row in rows if row.state != State.PLANNED], why, by)
        return {
            "erased": len(rows),
            "cancelled": len(planned),
            "answers": answers,
            "customer_ids": len({row.customer_id for row in rows} - {None}),
            "addresses": len({row.customer_key for row in rows} - {None}),
        }

    def retain(
        self,
        retention: timedelta,
        by: Actor,
        why: str,
        *,
        keep_keys: timedelta = timedelta(0),
        dry_run: bool = False,
    ) -> int:
        """Erase the personal data of final interactions that have not moved for so long; returns of how many.

        The keyed hash of an address stays for `keep_keys`, if that is longer.
        One transaction for each thousand, so that releases hardly wait.
        """
        with self._by_hand(dry_run) as connection:
            _drop_late_words(connection)
        before, erased, last = self._now() - retention, 0, 0
        while True:
            with self._by_hand(dry_run) as connection:
                rows = _lock_retained(connection, before, last)
                if not rows:
                    _drop_keys(connection, self._now() - max(retention, keep_keys))
                    return erased
                _blank(connection, [row.id for row in rows], _OF_ANYBODY)
                _note_erasure(connection, self._now(), rows, why, by)
            erased, last = erased + len(rows), rows[-1].id


def _lock_customer(connection: Connection, customer: str, now: datetime) -> Sequence[Any]:
    rows = connection.execute(
        select(interaction.c.id, interaction.c.state, interaction.c.customer_id, interaction.c.customer_key)
        .where(_is_person(connection, customer, now))
        .order_by(interaction.c.id)
        .with_for_update(key_share=True)  # avoids a deadlock with a process that adds a survey response
    ).all()
    if not rows:
        raise ActionRefusedError("The ledger holds nothing of this customer. Check the id or the address.")
    if held := sum(row.state in _HELD for row in rows):
        raise ActionRefusedError(
            f"{held} interactions of this customer are being sent now. Try again in 10 minutes."
        )
    return rows


def _lock_retained(connection: Connection, before: datetime, after_id: int) -> Sequence[Any]:
    """Lock up to `BATCH` final interactions with personal data that have not moved since `before`, by row id.

    Rows that another process holds now are erased the next day.
    """
    return connection.execute(
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


def _drop_words(connection: Connection, ids: Sequence[int]) -> None:
    for some in batches(ids):
        connection.execute(
            update(interaction_event).where(interaction_event.c.interaction_id.in_(some)).values(detail=None)
        )
        connection.execute(update(interaction).where(interaction.c.id.in_(some)).values(detail=None))


def _lock_out_holders(connection: Connection, unknown: Sequence[int]) -> None:
    """Take the token from the holder of an unknown interaction.

    Otherwise the holder could plan it again, which needs an address.
    """
    for some in batches(unknown):
        fresh = secrets.token_hex(16)
        connection.execute(update(interaction).where(interaction.c.id.in_(some)).values(token=fresh))


def _drop_late_words(connection: Connection) -> None:
    """Erase the answers of erased interactions, because one may be recorded during the erasure."""
    erased = select(interaction.c.id).where(
        interaction.c.id == survey_response.c.interaction_id, interaction.c.customer_email.is_(None)
    )
    _drop_answers(connection, erased.exists())


def _drop_answers(connection: Connection, of_whom: ColumnElement[bool]) -> int:
    held = or_(*(survey_response.c[name].is_not(None) for name in PERSONAL_WORDS))
    dropped = connection.execute(
        update(survey_response)
        .where(of_whom, held)
        .values(dict.fromkeys(PERSONAL_WORDS, null()))
        .returning(survey_response.c.uuid)
    )
    return len(dropped.all())


def _drop_keys(connection: Connection, before: datetime) -> None:
    """Drop the hash of erased addresses that no cap asks about any more."""
    row = interaction.c
    old = (_FINAL, row.updated_at < before, row.customer_key.is_not(None), row.customer_email.is_(None))
    connection.execute(update(interaction).where(*old).values(customer_key=None))


def _note_erasure(connection: Connection, now: datetime, rows: Sequence[Any], why: str, by: Actor) -> None:
    """Note the erasure in the history of rows that no step moved."""
    for state in {row.state for row in rows}:
        ids = [row.id for row in rows if row.state == state]
        note(connection, now, ids, state, Reason.ERASED, why, by)


def _blank(connection: Connection, ids: Sequence[int], columns: Sequence[str]) -> int:
    """Erase these columns, the words of the survey responses, and what was to be written of them to Kustomer.

    Returns how many responses held words.

    `updated_at` stays: it says when the interaction last moved.
    """
    connection.execute(update(interaction).where(interaction.c.id.in_(ids)).values(dict.fromkeys(columns, null())))
    drop_writes(connection, ids)
    return _drop_answers(connection, survey_response.c.interaction_id.in_(ids))


def _is_person(connection: Connection, customer: str, now: datetime) -> ColumnElement[bool]:
    """Return the condition of all rows of a person, also of those of which only the hash of the address is left.

    Kustomer merges customers, so a person may stand under several ids and addresses. An id leads to its addresses
    and the ids that share one; an address leads to the ids that had it and their addresses. The search ends
    there, because colleagues may share an address.
    """
    customer_id, key = interaction.c.customer_id, interaction.c.customer_key
    if "@" in customer:
        named = key == customer_key(read_secret(connection, now), customer)
        ids = select(customer_id).where(named)
        keys = select(key).where(customer_id.in_(ids))
    else:
        named = customer_id == customer.strip()
        keys = select(key).where(named)
        ids = select(customer_id).where(key.in_(keys))
    return or_(named, customer_id.in_(ids), key.in_(keys))
