"""Any order of closings, releases, crashes and recoveries, against a plain model of the promise."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, select, text

from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.states import TRANSITIONS, State
from include.ledger import Ledger, connect
from include.ledger.schema import interaction, interaction_event
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

WILL_BE_OR_WAS_SENT = {State.PLANNED, State.CLAIMED, State.SENDING, State.SENT, State.UNKNOWN}
OUTCOMES = [State.SENT, State.REJECTED, State.UNKNOWN, State.PLANNED]
DELAY = timedelta(minutes=10)


@dataclass
class Row:
    state: State
    token: str | None = None
    lease_until: datetime | None = None
    posts_that_may_have_been_taken: int = 0


@dataclass
class Model:
    rows: dict[tuple[int, datetime], Row] = field(default_factory=dict)

    def has_later(self, key: tuple[int, datetime]) -> bool:
        return any(
            other[0] == key[0] and other[1] > key[1] and row.state in WILL_BE_OR_WAS_SENT
            for other, row in self.rows.items()
        )

    def supersede(self, number: int) -> None:
        waiting = [key for key, row in self.rows.items() if key[0] == number and row.state is State.PLANNED]
        for key in [key for key in waiting if self.has_later(key)]:
            self.rows[key].state = State.CANCELLED

    def claim(self, now: datetime, limit: int) -> set[tuple[int, datetime]]:
        # `rows` keeps the order of recording, which is the order of the row ids
        waiting = [key for key, row in self.rows.items() if row.state is State.PLANNED and key[1] + DELAY <= now]
        claimed: set[tuple[int, datetime]] = set()
        for key in sorted(waiting, key=lambda key: key[1]):
            if len(claimed) == limit:
                break
            if self.has_later(key):
                self.rows[key].state = State.CANCELLED
            else:
                claimed.add(key)
        for key in claimed:
            self.rows[key].state = State.CLAIMED
        return claimed


class LedgerMachine(RuleBasedStateMachine):
    """Every claim ever made is kept and used again: old ones must have no effect."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.clock = Clock()
        self.ledger = Ledger(engine, self.clock)
        self.model = Model()
        self.claims: list[tuple[tuple[int, datetime], ClaimedInteraction]] = []

    @rule(number=st.integers(1, 3), ago=st.integers(0, 20), skip=st.sampled_from([None, None, Reason.MERGED]))
    def close(self, number: int, ago: int, skip: Reason | None) -> None:
        closed_at = self.clock() - timedelta(minutes=ago)
        self.ledger.extraction.record_closings(
            [closing(number, closed_at=closed_at, delay=DELAY, skip=skip)], by_run("extraction")
        )
        if (number, closed_at) not in self.model.rows:
            self.model.rows[number, closed_at] = Row(State.SKIPPED if skip else State.PLANNED)
            self.model.supersede(number)

    @rule(minutes=st.integers(1, 12))
    def time_passes(self, minutes: int) -> None:
        self.clock.forward(minutes=minutes)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        claimed = self.ledger.releasing.claim(
            NOON - timedelta(days=1), self.clock(), limit, LEASE, by_run("release")
        )
        keys = [(int(one.interaction.conversation_id, 16), one.interaction.closed_at) for one in claimed]
        assert set(keys) == self.model.claim(self.clock(), limit)
        for key, one in zip(keys, claimed, strict=True):
            self.model.rows[key].token = one.token
            self.model.rows[key].lease_until = self.clock() + LEASE
            self.claims.append((key, one))

    @rule(data=st.data())
    def start_sending(self, data: st.DataObject) -> None:
        for row, one in self._pick(data):
            started = self.ledger.releasing.start_sending(one, LEASE, REQUEST)
            allowed = (
                row.state is State.CLAIMED
                and row.token == one.token
                and row.lease_until is not None
                and row.lease_until > self.clock()
            )
            assert (started is not None) == allowed
            if allowed:
                row.state = State.SENDING
                row.lease_until = self.clock() + LEASE
                row.posts_that_may_have_been_taken += 1

    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def settle(self, data: st.DataObject, outcome: State) -> None:
        write: dict[State, Callable[[ClaimedInteraction], bool]] = {
            State.SENT: lambda one: self.ledger.releasing.settle(one, State.SENT, 201),
            State.REJECTED: lambda one: self.ledger.releasing.settle(one, State.REJECTED, 400, "refused"),
            State.UNKNOWN: lambda one: self.ledger.releasing.settle(one, State.UNKNOWN, None, "timeout"),
            State.PLANNED: lambda one: self.ledger.releasing.settle(one, State.PLANNED, 429, "later"),
        }
        for row, one in self._pick(data):
            allowed = row.state in {State.SENDING, State.UNKNOWN} and row.token == one.token
            assert write[outcome](one) == allowed
            if allowed:
                row.state = outcome
                if outcome is State.PLANNED:
                    row.posts_that_may_have_been_taken -= 1

    @rule(data=st.data())
    def veto(self, data: st.DataObject) -> None:
        for row, one in self._pick(data):
            allowed = row.state is State.CLAIMED and row.token == one.token
            assert self.ledger.releasing.veto(one, State.CANCELLED, Reason.REOPENED) == allowed
            if allowed:
                row.state = State.CANCELLED

    @rule()
    def give_everything_back(self) -> None:
        given = 0
        for key, one in self.claims:
            row = self.model.rows[key]
            if row.state is State.CLAIMED and row.token == one.token:
                row.state = State.PLANNED
                given += 1
        assert self.ledger.releasing.give_back([one for _, one in self.claims], "stopped") == given

    @rule()
    def recover(self) -> None:
        recovered = self.ledger.releasing.recover(by_run("next run"))
        over = [
            row
            for row in self.model.rows.values()
            if row.state in {State.CLAIMED, State.SENDING} and row.lease_until and row.lease_until <= self.clock()
        ]
        assert recovered.planned == sum(row.state is State.CLAIMED for row in over)
        assert recovered.unknown == sum(row.state is State.SENDING for row in over)
        for row in over:
            row.state = State.PLANNED if row.state is State.CLAIMED else State.UNKNOWN

    @invariant()
    def the_ledger_stands_where_the_model_does(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(select(interaction)).all()
            events = connection.execute(select(interaction_event).order_by(interaction_event.c.id)).all()
        found = {(int(row.conversation_id, 16), row.closed_at): State(row.state) for row in rows}
        assert found == {key: row.state for key, row in self.model.rows.items()}
        for row in rows:
            state: State | None = None
            for one in events:
                if one.interaction_id == row.id:
                    assert one.from_state == state
                    assert (state, State(one.to_state)) in TRANSITIONS
                    state = State(one.to_state)
            assert state == row.state

    @invariant()
    def no_closing_has_more_than_one_post_that_may_have_been_taken(self) -> None:
        assert all(row.posts_that_may_have_been_taken <= 1 for row in self.model.rows.values())

    def _pick(self, data: st.DataObject) -> list[tuple[Row, ClaimedInteraction]]:
        if not self.claims:
            return []
        key, one = data.draw(st.sampled_from(self.claims))
        return [(self.model.rows[key], one)]


def test_any_order_of_events_keeps_the_promise(engine: Engine, tmp_path: Path) -> None:
    number = 0

    def on_an_empty_ledger() -> LedgerMachine:
        nonlocal number
        number += 1
        if engine.dialect.name == "postgresql":
            with engine.begin() as connection:
                connection.execute(text("TRUNCATE interaction CASCADE"))
            return LedgerMachine(engine)
        fresh = connect(f"sqlite:///{tmp_path / f'model{number}.db'}")
        Ledger(fresh).migrate()
        return LedgerMachine(fresh)

    run_state_machine_as_test(
        on_an_empty_ledger,  # type: ignore[arg-type]  # takes any factory, annotated too narrowly
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
