"""A change of state: one conditional statement, and the event of every row it moves, committed together."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Update,
    bindparam,
    insert,
    literal_column,
    select,
)

from include.interactions.actor import Actor
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.schema import interaction, interaction_event, state_is

_APPEND = insert(interaction_event)
BY_COLUMNS = ("dag_id", "run_id", "person")
"""The columns of an event that say who did it."""


def _given(column: str, name: str | None = None) -> BindParameter[Any]:
    return bindparam(name or column, type_=interaction_event.c[column].type)


BY = tuple(_given(column, f"by_{column}") for column in BY_COLUMNS)
"""The parameters for these columns; `given_by` gives their values."""


def given_by(actor: Actor | None) -> dict[str, str | None]:
    """Return the parameters that name the actor; None for all of them stands for the holder of the claim."""
    return {f"by_{column}": None if actor is None else getattr(actor, column) for column in BY_COLUMNS}


class Transition:
    """Moves interactions out of one state and appends the event to their history.

    On PostgreSQL the same statement writes the events: a release has two questions per request, and each further
    one costs both sides more than the writing. SQLite needs two statements, but there a question costs little.

    Two changes in one statement are safe while no column of the two tables has a Python default (a test checks
    it). No parameter may have the name of a column of `interaction`, because SQLAlchemy would set that column.

    Args:
        before: the state that the rows must be in.
        change: an UPDATE of `interaction` that sets the state, for whatever rows it is limited to.
        also: columns to return of the moved rows, besides id, state and reason.
    """

    def __init__(self, before: State, change: Update, also: Sequence[ColumnElement[Any]] = ()) -> None:
        self._before = before
        self._change = (
            change.where(state_is(before))
            .values(updated_at=bindparam("at"))
            .returning(interaction.c.id, interaction.c.state, interaction.c.reason, *also)
        )
        moved = self._change.cte("moved")
        row = select(
            moved.c.id,
            _given("at"),
            literal_column(f"'{before}'"),
            moved.c.state,
            moved.c.reason,
            _given("detail", "words_of_event"),
            *BY,
        )
        names = ["interaction_id", "at", "from_state", "to_state", "reason", "detail", *BY_COLUMNS]
        events = insert(interaction_event).from_select(names, row).cte("events")
        self._change_and_append = select(moved).add_cte(events)

    def apply(
        self,
        connection: Connection,
        at: datetime,
        values: Mapping[str, Any],
        *,
        detail: str | None = None,
        by: Actor | None = None,
    ) -> Sequence[Row[Any]]:
        """Move the matching rows and return them.

        Args:
            connection: in a transaction, or in autocommit if nothing else belongs to the step.
            at: the time of the step.
            values: of the change's own parameters.
            detail: words for the events.
            by: who did it; None: the holder of the claim.
        """
        if connection.dialect.name == "postgresql":
            of_event = {"words_of_event": detail, **given_by(by)}
            return connection.execute(self._change_and_append, {**values, "at": at, **of_event}).all()
        rows = connection.execute(self._change, {**values, "at": at}).all()
        events = [_event(row.id, at, (self._before, row.state), row.reason, detail, by) for row in rows]
        if events:
            connection.execute(_APPEND, events)
        return rows


def note(
    connection: Connection, at: datetime, ids: Sequence[int], state: State, reason: Reason, detail: str, by: Actor
) -> None:
    """Append to the history what happened to interactions that stay in their state."""
    connection.execute(
        _APPEND, [_event(interaction_id, at, (state, state), reason, detail, by) for interaction_id in ids]
    )


def _event(
    interaction_id: int,
    at: datetime,
    step: tuple[State, State],
    reason: str | None,
    detail: str | None,
    by: Actor | None,
) -> dict[str, Any]:
    before, after = step
    return {
        "interaction_id": interaction_id,
        "at": at,
        "from_state": before,
        "to_state": after,
        "reason": reason,
        "detail": detail,
        **dict(zip(BY_COLUMNS, given_by(by).values(), strict=True)),
    }
