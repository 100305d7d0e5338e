"""The event row that every transition writes, in the transition's own transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, insert

from include.interactions.states import State
from include.ledger.schema import interaction_event

_APPEND = insert(interaction_event)


def append(
    connection: Connection,
    interaction_ids: Iterable[int],
    at: datetime,
    transition: tuple[State | None, State],
    *,
    reason: str | None = None,
    detail: str | None = None,
    by: str | None = None,
) -> int:
    """Append the same event to each interaction; returns to how many.

    `by` is None when the holder of the claim did it.
    """
    before, after = transition
    rows = [
        {
            "interaction_id": interaction_id,
            "at": at,
            "from_state": before,
            "to_state": after,
            "reason": reason,
            "detail": detail,
            "actor": by,
        }
        for interaction_id in interaction_ids
    ]
    if rows:
        connection.execute(_APPEND, rows)
    return len(rows)
