"""The event row that every transition writes, in the transition's own transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BindParameter, Connection, bindparam, insert, select
from sqlalchemy.types import TypeEngine

from include.interactions.states import State
from include.ledger.batches import batches
from include.ledger.schema import interaction, interaction_event


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
    event = {"at": at, "from_state": before, "to_state": after, "reason": reason, "detail": detail, "actor": by}
    ids = list(interaction_ids)
    if len(ids) == 1:
        connection.execute(_APPEND, event | {"interaction_id": ids[0]})
        return 1
    for some in batches(ids):
        connection.execute(_APPEND_TO_MANY, event | {"ids": some})
    return len(ids)


def _given(name: str) -> BindParameter[object]:
    column_type: TypeEngine[object] = interaction_event.c[name].type
    return bindparam(name, type_=column_type)


_EVENT = ("at", "from_state", "to_state", "reason", "detail", "actor")
_APPEND = insert(interaction_event)  # the hot path: twice for each request
# A row each, by the driver, was a fifth of what claiming a window cost.
_APPEND_TO_MANY = insert(interaction_event).from_select(
    ["interaction_id", *_EVENT],
    select(interaction.c.id, *map(_given, _EVENT)).where(interaction.c.id.in_(bindparam("ids", expanding=True))),
)
