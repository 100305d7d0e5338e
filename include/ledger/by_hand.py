"""The base of people's actions on the ledger."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from include.interactions.actor import Actor
from include.interactions.addresses import same_address
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.batches import batches
from include.ledger.schema import interaction
from include.ledger.store import Store
from include.ledger.transition import Transition


class ActionRefusedError(Exception):
    """The action does not match the ledger; the message says why and names no person."""


class ByHandStore(Store):
    """Carries out an action, or raises `ActionRefusedError` and changes nothing. A dry run is rolled back."""

    @contextmanager
    def _by_hand(self, dry_run: bool) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin() as transaction:
            yield connection
            if dry_run:
                transaction.rollback()


def move(
    connection: Connection,
    now: datetime,
    ids: Sequence[int],
    transition: tuple[State, State],
    reason: Reason | None,
    detail: str,
    by: Actor,
    **values: Any,
) -> None:
    """Move these rows, which the caller has locked."""
    before, after = transition
    for some in batches(ids):
        change = update(interaction).where(interaction.c.id.in_(some))
        change = change.values(state=after, reason=reason, detail=detail, **values)
        Transition(before, change).apply(connection, now, {}, detail=detail, by=by)


def spellings(
    connection: Connection, column: ColumnElement[Any], address: str, *among: ColumnElement[bool]
) -> list[str]:
    """List how this address is spelt in the column."""
    # Folded here, not in SQL: SQLite's lower() knows ASCII only, PostgreSQL's depends on the server's locale.
    known = connection.execute(select(column).where(column.is_not(None), *among).distinct()).scalars()
    return [spelling for spelling in known if same_address(spelling) == same_address(address)]
