"""How far Stella Connect's Data Return has been read."""

from dataclasses import dataclass
from datetime import datetime
from types import ModuleType

from sqlalchemy import Connection, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from include.ledger.schema import data_return_cursor as cursor

_NAME = "data_return"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to `sequence_id` has been recorded; None before the first record."""

    sequence_id: int | None = None
    reread_from: datetime | None = None
    """The last complete reading by time of creation showed every record created from here …"""
    reread_at: datetime | None = None
    """… until here, the instant at which it began."""


def read(connection: Connection) -> Cursor:
    """How far reading has come."""
    row = connection.execute(
        select(cursor.c.sequence_id, cursor.c.reread_from, cursor.c.reread_at).where(cursor.c.name == _NAME)
    ).first()
    return Cursor() if row is None else Cursor(*row)


def advance(connection: Connection, sequence_id: int) -> None:
    """Move the cursor forward; a lower number changes nothing."""
    new = _dialect(connection).insert(cursor).values(name=_NAME, sequence_id=sequence_id)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[cursor.c.name],
            set_={"sequence_id": new.excluded.sequence_id},
            where=or_(cursor.c.sequence_id.is_(None), new.excluded.sequence_id > cursor.c.sequence_id),
        )
    )


def note_reread(connection: Connection, created_from: datetime, began_at: datetime) -> None:
    """Remember a complete reading by time of creation; an earlier one changes nothing."""
    new = _dialect(connection).insert(cursor).values(name=_NAME, reread_from=created_from, reread_at=began_at)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[cursor.c.name],
            set_={"reread_from": new.excluded.reread_from, "reread_at": new.excluded.reread_at},
            where=or_(cursor.c.reread_at.is_(None), new.excluded.reread_at > cursor.c.reread_at),
        )
    )


def _dialect(connection: Connection) -> ModuleType:
    return postgresql if connection.dialect.name == "postgresql" else sqlite
