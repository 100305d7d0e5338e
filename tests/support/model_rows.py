"""What the model asks of the ledger's rows, past SQLAlchemy: it asks at every step of every history."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from include.interactions.utc import EPOCH, MILLISECOND
from include.ledger.columns import milliseconds

Key = tuple[str, datetime]
"""Which closing: conversation id and `closed_at`."""
_ROWS = "SELECT id, conversation_id, closed_at, state, reason, lease_until FROM interaction"


@dataclass(frozen=True, slots=True)
class Row:
    """As much of an interaction as the model asks for."""

    id: int
    conversation_id: str
    closed_at: datetime
    state: str
    reason: str | None
    lease_until: datetime | None


def read_rows(connection: sqlite3.Connection, conversation_id: str | None = None) -> dict[Key, Row]:
    """Return the ledger's rows by closing, all or of one conversation; fail if one closing has two."""
    of_one = ("", ()) if conversation_id is None else (" WHERE conversation_id = ?", (conversation_id,))
    found = connection.execute(_ROWS + of_one[0], of_one[1])
    rows = [
        Row(number, conversation, _instant(closed_at), state, reason, lease and _instant(lease))
        for number, conversation, closed_at, state, reason, lease in found
    ]
    by_closing = {(row.conversation_id, row.closed_at): row for row in rows}
    assert len(by_closing) == len(rows), "one closing has two interactions"
    return by_closing


class Beginning(NamedTuple):
    """The event with which an interaction begins, and when it falls due."""

    at: datetime
    reason: str | None
    due_at: datetime


def read_beginning(connection: sqlite3.Connection, key: Key) -> Beginning:
    """Return how the interaction of this closing begins; fail if it begins twice."""
    begun = (
        "SELECT e.at, e.reason, i.due_at FROM interaction AS i JOIN interaction_event AS e"
        " ON e.interaction_id = i.id WHERE i.conversation_id = ? AND i.closed_at = ? AND e.from_state IS NULL"
    )
    ((at, reason, due_at),) = connection.execute(begun, (key[0], milliseconds(key[1])))
    return Beginning(_instant(at), reason, _instant(due_at))


def _instant(stored: int) -> datetime:
    return EPOCH + stored * MILLISECOND
