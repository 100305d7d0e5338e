import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from include.interactions.states import NOTED, TRANSITIONS, State
from include.ledger.schema import interaction, interaction_event
from tests.support.ledger import NOON

ONE_PATH_TO: dict[State, list[State]] = {
    State.PLANNED: [State.PLANNED],
    State.SKIPPED: [State.SKIPPED],
    State.CLAIMED: [State.PLANNED, State.CLAIMED],
    State.CANCELLED: [State.PLANNED, State.CANCELLED],
    State.SENDING: [State.PLANNED, State.CLAIMED, State.SENDING],
    State.SENT: [State.PLANNED, State.CLAIMED, State.SENDING, State.SENT],
    State.REJECTED: [State.PLANNED, State.CLAIMED, State.SENDING, State.REJECTED],
    State.UNKNOWN: [State.PLANNED, State.CLAIMED, State.SENDING, State.UNKNOWN],
}

_conversations = itertools.count()


def fitting(state: State) -> dict[str, Any]:
    """The columns of a row that breaks no rule in this state."""
    return {
        "state": state,
        "token": "t" if state in {State.CLAIMED, State.SENDING, State.UNKNOWN} else None,
        "lease_until": NOON if state in {State.CLAIMED, State.SENDING} else None,
        "sent_at": NOON if state is State.SENT else None,
        "reason": "reopened" if state in {State.CANCELLED, State.SKIPPED} else None,
        "attempts": 1,
    }


def put(connection: Connection, state: State, **columns: Any) -> int:
    row = {
        "conversation_id": f"c{next(_conversations)}",
        "closed_at": NOON,
        "due_at": NOON,
        "customer_email": "customer@example.com",
        "agent_email": "agent@example.com",
        "do_not_send": False,
        "created_at": NOON,
        "updated_at": NOON,
    }
    row |= fitting(state) | columns
    row_id: int = connection.execute(insert(interaction).values(row).returning(interaction.c.id)).scalar_one()
    return row_id


def bring(connection: Connection, state: State) -> int:
    first, *further = ONE_PATH_TO[state]
    row_id = put(connection, first)
    for step in further:
        connection.execute(update(interaction).where(interaction.c.id == row_id).values(fitting(step)))
    return row_id


@contextmanager
def undone(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def test_the_schema_lets_exactly_the_legal_transitions_pass(engine: Engine) -> None:
    passed = set()
    for before, after in itertools.product(State, State):
        with undone(engine) as connection:
            row_id = bring(connection, before)
            try:
                connection.execute(update(interaction).where(interaction.c.id == row_id).values(fitting(after)))
            except IntegrityError as refusal:
                assert "illegal transition" in str(refusal)  # noqa: PT017 - which refusals come is what is tested
            else:
                passed.add((before, after))
    assert passed == {(before, after) for before, after in TRANSITIONS if before is not None}


def test_an_interaction_begins_planned_or_skipped(engine: Engine) -> None:
    passed = set()
    for state in State:
        with undone(engine) as connection:
            try:
                put(connection, state)
            except IntegrityError:
                continue
            passed.add((None, state))
    assert passed == {(before, after) for before, after in TRANSITIONS if before is None}


def test_an_event_tells_of_a_legal_transition_or_of_an_act_after_the_end(engine: Engine) -> None:
    passed = set()
    for before, after in itertools.product((None, *State), State):
        with undone(engine) as connection:
            row_id = put(connection, State.PLANNED)
            try:
                connection.execute(
                    insert(interaction_event).values(
                        interaction_id=row_id, at=NOON, from_state=before, to_state=after
                    )
                )
            except IntegrityError:
                continue
            passed.add((before, after))
    assert passed == TRANSITIONS | {(state, state) for state in NOTED}


@pytest.mark.parametrize(
    ("state", "wrong"),
    [
        (State.PLANNED, {"token": "t"}),
        (State.PLANNED, {"lease_until": NOON}),
        (State.PLANNED, {"sent_at": NOON}),
        (State.PLANNED, {"reason": "reopened"}),
        (State.PLANNED, {"customer_email": None}),
        (State.PLANNED, {"agent_email": None}),
        (State.PLANNED, {"due_at": NOON.replace(year=2025)}),
        (State.PLANNED, {"agent_profile": "perhaps"}),
        (State.CLAIMED, {"token": None}),
        (State.CLAIMED, {"lease_until": None}),
        (State.SENDING, {"token": None}),
        (State.SENDING, {"lease_until": None}),
        (State.SENDING, {"attempts": 0}),
        (State.SENT, {"sent_at": None}),
        (State.SENT, {"token": "t"}),
        (State.UNKNOWN, {"token": None}),
        (State.UNKNOWN, {"lease_until": NOON}),
        (State.CANCELLED, {"reason": None}),
        (State.SKIPPED, {"reason": None}),
    ],
    ids=str,
)
def test_an_impossible_row_is_refused(engine: Engine, state: State, wrong: dict[str, Any]) -> None:
    with undone(engine) as connection:
        row_id = bring(connection, state)
        with pytest.raises(IntegrityError):
            # without `state`: the trigger on transitions has no part in this
            connection.execute(update(interaction).where(interaction.c.id == row_id).values(wrong))


def test_a_state_that_does_not_exist_is_refused(engine: Engine) -> None:
    with undone(engine) as connection:
        row_id = bring(connection, State.PLANNED)
        with pytest.raises(IntegrityError):
            connection.execute(update(interaction).where(interaction.c.id == row_id).values(state="forgotten"))


def test_an_event_is_neither_rewritten_nor_removed(engine: Engine) -> None:
    for change in (
        update(interaction_event).values(at=NOON.replace(year=2025)),
        update(interaction_event).values(to_state=State.SKIPPED),
        delete(interaction_event),
    ):
        with undone(engine) as connection:
            row_id = put(connection, State.PLANNED)
            connection.execute(
                insert(interaction_event).values(interaction_id=row_id, at=NOON, to_state=State.PLANNED)
            )
            with pytest.raises(IntegrityError, match="an event of an interaction"):
                connection.execute(change)


def test_who_did_it_can_be_erased_from_an_event(engine: Engine) -> None:
    with undone(engine) as connection:
        row_id = put(connection, State.PLANNED)
        connection.execute(
            insert(interaction_event).values(
                interaction_id=row_id, at=NOON, to_state=State.PLANNED, run_id="a run", person="a person"
            )
        )
        connection.execute(update(interaction_event).values(dag_id=None, run_id=None, person=None, detail=None))
        assert connection.execute(select(interaction_event.c.person)).scalar_one() is None


def test_an_interaction_with_events_is_not_removed(engine: Engine) -> None:
    with undone(engine) as connection:
        row_id = put(connection, State.PLANNED)
        connection.execute(insert(interaction_event).values(interaction_id=row_id, at=NOON, to_state=State.PLANNED))
        with pytest.raises(IntegrityError):
            connection.execute(delete(interaction))


def test_no_column_of_a_transition_has_a_default_of_pythons() -> None:
    """SQLAlchemy does not promise to fill them in where one statement changes two tables."""
    columns = [*interaction.c, *interaction_event.c]
    assert [column for column in columns if column.default is not None or column.onupdate is not None] == []
