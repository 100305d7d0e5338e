"""Facts that the ledger remembers by name, such as the organisation it serves: short texts about no person."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from include.ledger.inserting import insert_into
from include.ledger.schema import ledger_fact


class Fact(NamedTuple):
    """A remembered value, and when it last changed."""

    value: str
    changed_at: datetime


def read(connection: Connection, name: str) -> Fact | None:
    """Read the fact of that name; None if there is none yet."""
    row = connection.execute(
        select(ledger_fact.c.value, ledger_fact.c.changed_at).where(ledger_fact.c.name == name)
    ).first()
    return None if row is None else Fact(row.value, row.changed_at)


def write(connection: Connection, name: str, value: str, now: datetime) -> None:
    """Store the value and replace an earlier one; `changed_at` moves only if the value is another."""
    new = insert_into(connection, ledger_fact).values(name=name, value=value, changed_at=now)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[ledger_fact.c.name],
            set_={"value": new.excluded.value, "changed_at": new.excluded.changed_at},
            where=ledger_fact.c.value != new.excluded.value,
        )
    )


def replace(connection: Connection, name: str, before: str | None, after: str, now: datetime) -> bool:
    """Remember `after` if `before` still stands there (None: nothing does); of several processes one succeeds."""
    if before is None:
        new = insert_into(connection, ledger_fact).values(name=name, value=after, changed_at=now)
        changed = connection.execute(new.on_conflict_do_nothing().returning(ledger_fact.c.name))
    else:
        stands = (ledger_fact.c.name == name) & (ledger_fact.c.value == before)
        change = update(ledger_fact).where(stands).values(value=after, changed_at=now)
        changed = connection.execute(change.returning(ledger_fact.c.name))
    return changed.first() is not None
