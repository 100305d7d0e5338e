"""Deferred readings: what extraction could not read yet, until a later run has read it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from include.interactions.deferred_reading import DeferredReading, is_due_again
from include.interactions.interaction import Interaction
from include.ledger.batches import batches
from include.ledger.columns import Instant, StorableText, milliseconds, storable
from include.ledger.schema import deferred_reading, interaction
from include.ledger.store import Store

SPAN = ""
"""In place of a conversation's id."""


@dataclass(frozen=True, slots=True)
class DeferredSummary:
    """The number of deferred readings."""

    closings: int
    spans: int
    oldest: datetime | None
    """Since when the oldest of them could not be read."""


class DeferredReadingStore(Store):
    """Keeps deferred readings."""

    def defer(self, readings: Sequence[DeferredReading]) -> int:
        """Note that these could not be read; returns how many of them are open.

        A closing that the ledger holds already is in no doubt. A known one counts another try.
        """
        if not readings:
            return 0
        with self._engine.begin() as connection:
            return _defer(connection, readings, self._now())

    def narrow_deferred(self, reading: DeferredReading, incomplete: Sequence[DeferredReading]) -> None:
        """Put what is incomplete still in place of a deferred span that was read again; none: it is done."""
        with self._engine.begin() as connection:
            if all(_key(part) != _key(reading) for part in incomplete):
                connection.execute(_DROP, _key(reading))
            _defer(connection, incomplete, self._now(), first_seen=reading.first_seen)

    def drop_deferred(self, readings: Iterable[DeferredReading]) -> None:
        """Forget these: nothing is in doubt about them any more."""
        if keys := [_key(reading) for reading in readings]:
            with self._engine.begin() as connection:
                connection.execute(_DROP, keys)

    def list_deferred_closings(self, tried_before: datetime, limit: int) -> list[DeferredReading]:
        """List deferred closings that may be read again and were last tried before that instant."""
        return self._list_due(deferred_reading.c.conversation_id != SPAN, tried_before, limit)

    def list_deferred_spans(self, tried_before: datetime, limit: int) -> list[DeferredReading]:
        """List deferred spans that may be read again and were last tried before that instant."""
        return self._list_due(deferred_reading.c.conversation_id == SPAN, tried_before, limit)

    def list_spans_within(self, closed_from: datetime, closed_to: datetime) -> list[DeferredReading]:
        """List the deferred spans that lie inside of [closed_from, closed_to), in order of time."""
        table = deferred_reading.c
        inside = (table.conversation_id == SPAN, table.closed_from >= closed_from, table.closed_to <= closed_to)
        with self._reader.begin() as connection:
            rows = connection.execute(select(deferred_reading).where(*inside).order_by(table.closed_from))
            return [_read(row) for row in rows]

    def summarise_deferred(self) -> DeferredSummary:
        """Count what is deferred, and say since when."""
        table = deferred_reading.c
        closings = func.count().filter(table.conversation_id != SPAN)
        with self._reader.begin() as connection:
            row = connection.execute(select(func.count(), closings, func.min(table.first_seen))).one()
        return DeferredSummary(closings=row[1], spans=row[0] - row[1], oldest=row[2])

    def _list_due(self, kind: Any, tried_before: datetime, limit: int) -> list[DeferredReading]:
        table = deferred_reading.c
        query = (
            select(deferred_reading)
            .where(kind, table.last_tried < tried_before)
            .order_by(table.last_tried, table.id)
        )
        with self._reader.begin() as connection:
            readings = [_read(row) for row in connection.execute(query)]
        return [reading for reading in readings if is_due_again(reading, tried_before)][:limit]


def drop_recorded(connection: Connection, batch: Collection[Interaction]) -> None:
    """Forget what was deferred of closings that have just been recorded."""
    if connection.execute(_ANY_CLOSING).first() is None:
        return
    rows = [{"conversation": closing.conversation_id, "at": closing.closed_at} for closing in batch]
    for some in batches(rows):
        connection.execute(_DROP_RECORDED, some)


def _defer(
    connection: Connection,
    readings: Sequence[DeferredReading],
    now: datetime,
    first_seen: datetime | None = None,
) -> int:
    statement = _DEFER_SQLITE if connection.dialect.name == "sqlite" else _DEFER_POSTGRESQL
    number = 0
    for reading in readings:
        values = {"detail": reading.detail, "tries": reading.tries, "now": now, "first_seen": first_seen or now}
        number += connection.execute(statement, {**_key(reading), **values}).first() is not None
    return number


def _key(reading: DeferredReading) -> dict[str, Any]:
    """Return the parameters that name a reading, as the ledger will hold them."""
    return {
        "conversation": storable(reading.conversation_id or SPAN),
        "from": _floor(reading.closed_from),
        "to": _floor(reading.closed_to),
    }


def _floor(moment: datetime) -> datetime:
    return moment.replace(microsecond=milliseconds(moment) % 1000 * 1000)


def _read(row: Row[Any]) -> DeferredReading:
    return DeferredReading(
        closed_from=row.closed_from,
        closed_to=row.closed_to,
        detail=row.detail,
        conversation_id=row.conversation_id or None,
        first_seen=row.first_seen,
        last_tried=row.last_tried,
        tries=row.tries,
    )


def _defer_statement(dialect: Any) -> Any:
    table = deferred_reading.c
    conversation, closed_from, closed_to = (
        bindparam("conversation", type_=StorableText),
        bindparam("from", type_=Instant),
        bindparam("to", type_=Instant),
    )
    known = exists(
        select(interaction.c.id).where(
            interaction.c.conversation_id == conversation,
            interaction.c.closed_at >= closed_from,
            interaction.c.closed_at < closed_to,
        )
    )
    values = select(
        conversation,
        closed_from,
        closed_to,
        bindparam("detail", type_=StorableText),
        bindparam("first_seen", type_=Instant),
        bindparam("now", type_=Instant),
        bindparam("tries", type_=deferred_reading.c.tries.type),
    ).where(~known)
    names = ["conversation_id", "closed_from", "closed_to", "detail", "first_seen", "last_tried", "tries"]
    new = dialect.insert(deferred_reading).from_select(names, values)
    was_tried = new.excluded.tries > literal_column("0")
    return new.on_conflict_do_update(
        index_elements=[table.conversation_id, table.closed_from, table.closed_to],
        set_={
            "detail": case((was_tried, new.excluded.detail), else_=table.detail),
            "last_tried": case((was_tried, new.excluded.last_tried), else_=table.last_tried),
            "tries": table.tries + new.excluded.tries,
        },
    ).returning(table.id)


_DEFER_SQLITE = _defer_statement(sqlite)
_DEFER_POSTGRESQL = _defer_statement(postgresql)
_DROP = delete(deferred_reading).where(
    deferred_reading.c.conversation_id == bindparam("conversation"),
    deferred_reading.c.closed_from == bindparam("from"),
    deferred_reading.c.closed_to == bindparam("to"),
)
_ANY_CLOSING = select(deferred_reading.c.id).where(deferred_reading.c.conversation_id != SPAN).limit(1)
_DROP_RECORDED = delete(deferred_reading).where(
    deferred_reading.c.conversation_id == bindparam("conversation", type_=StorableText),
    deferred_reading.c.closed_from <= bindparam("at", type_=Instant),
    deferred_reading.c.closed_to > bindparam("at", type_=Instant),
)
