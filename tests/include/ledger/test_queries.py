import re
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, event, text

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Backlog, Ledger, Watermark
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)


def test_the_watermark_is_unset_until_the_first_extraction(ledger: Ledger) -> None:
    assert ledger.extraction.read_watermark() is None
    ledger.extraction.advance_watermark(NOON, NOON + HOUR)
    assert ledger.extraction.read_watermark() == Watermark(NOON, NOON + HOUR)


def test_the_watermark_moves_forward_only_and_keeps_its_beginning(ledger: Ledger) -> None:
    ledger.extraction.advance_watermark(NOON, NOON + 2 * HOUR)
    ledger.extraction.advance_watermark(NOON + HOUR, NOON + 3 * HOUR)
    assert ledger.extraction.read_watermark() == Watermark(NOON, NOON + 3 * HOUR)
    ledger.extraction.advance_watermark(NOON - HOUR, NOON + HOUR)
    assert ledger.extraction.read_watermark() == Watermark(NOON, NOON + 3 * HOUR)


def test_the_watermark_does_not_jump_over_hours_that_nobody_has_read(ledger: Ledger) -> None:
    ledger.extraction.advance_watermark(NOON, NOON + HOUR)
    ledger.extraction.advance_watermark(NOON + 2 * HOUR, NOON + 3 * HOUR)
    assert ledger.extraction.read_watermark() == Watermark(NOON, NOON + HOUR)


def test_due_times_come_oldest_first_and_only_of_what_waits(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings(
        [closing(number, closed_at=NOON - number * HOUR) for number in range(4)], by_run("run")
    )
    ledger.extraction.record_closings([closing(9, skip=Reason.MERGED, closed_at=NOON - 9 * HOUR)], by_run("run"))
    assert ledger.releasing.list_due_times(NOON + HOUR) == [NOON - 2 * HOUR, NOON - HOUR, NOON]
    assert ledger.releasing.list_due_times(NOON + 2 * HOUR, limit=2) == [NOON - 2 * HOUR, NOON - HOUR]
    ledger.releasing.claim(NOON - 5 * HOUR, clock(), 1, LEASE, by_run("run"))
    assert ledger.releasing.list_due_times(NOON + HOUR) == [NOON - HOUR, NOON]


def test_counts_are_by_state_and_reason(ledger: Ledger) -> None:
    ledger.extraction.record_closings(
        [closing(1), closing(2, skip=Reason.MERGED), closing(3, closed_at=NOON + HOUR), closing(4)], by_run("run")
    )
    assert ledger.counts() == {(State.PLANNED, None): 3, (State.SKIPPED, Reason.MERGED): 1}


def test_the_backlog_tells_what_is_overdue_held_and_unknown(ledger: Ledger, clock: Clock) -> None:
    assert ledger.backlog() == Backlog(planned=0, overdue=0, oldest_due=None, held=0, unknown=0)
    ledger.extraction.record_closings(
        [closing(number, closed_at=NOON + number * timedelta(minutes=1)) for number in range(6)], by_run("r")
    )
    clock.forward(hours=1, minutes=3)
    first, _, _ = ledger.releasing.claim(NOON, clock(), 3, LEASE, by_run("run"))
    ledger.releasing.start_sending(first, LEASE, REQUEST)
    ledger.releasing.settle(first, State.UNKNOWN, None, "read timeout")
    clock.forward(minutes=2)
    assert ledger.backlog(grace=timedelta(minutes=1)) == Backlog(
        planned=3, overdue=1, oldest_due=NOON + HOUR + timedelta(minutes=3), held=2, unknown=1
    )


def test_a_history_names_the_actor_of_every_step(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("extraction"))
    clock.forward(hours=1)
    (held,) = ledger.releasing.claim(NOON, clock(), 1, LEASE, by_run("release 1"))
    ledger.releasing.start_sending(held, LEASE, REQUEST)
    clock.forward(minutes=5)
    ledger.releasing.recover(by_run("release 2"))
    ledger.releasing.settle(held, State.SENT, 201, "late")
    events = ledger.history(held.interaction.conversation_id)
    steps = [(event.at - NOON, event.from_state, event.to_state, event.detail, str(event.by)) for event in events]
    assert steps == [
        (timedelta(0), None, State.PLANNED, None, "extraction"),
        (HOUR, State.PLANNED, State.CLAIMED, None, "release 1"),
        (HOUR, State.CLAIMED, State.SENDING, None, "release 1"),
        (HOUR + LEASE, State.SENDING, State.UNKNOWN, "lease over", "release 2"),
        (HOUR + LEASE, State.UNKNOWN, State.SENT, "late", "release 1"),
    ]
    assert ledger.history("nobody") == []


def test_agents_are_told_apart_by_address_not_by_spelling(ledger: Ledger) -> None:
    spellings = ["Ann@example.com", " ann@EXAMPLE.com", "ben@example.com", "Straße@example.com"]
    ledger.extraction.record_closings(
        [closing(number, agent_email=one) for number, one in enumerate(spellings)], by_run("run")
    )
    ledger.extraction.record_closings(
        [closing(9, agent_email="zoe@example.com", skip=Reason.MERGED)], by_run("run")
    )
    assert ledger.extraction.count_planned_by_agent() == {
        "ann@example.com": 2,
        "ben@example.com": 1,
        "strasse@example.com": 1,
    }
    warned = ledger.extraction.mark_profiles(
        approved=["BEN@example.com"], not_approved=["ANN@example.com", "x@example.com"]
    )
    assert warned == {"ann@example.com": 2}


def test_an_agent_about_whom_nothing_is_known_keeps_his_mark(ledger: Ledger, engine: Engine) -> None:
    ledger.extraction.record_closings(
        [closing(1, agent_email="ann@example.com"), closing(2, agent_email="ben@example.com")], by_run("run")
    )
    ledger.extraction.mark_profiles(["ann@example.com"], ["ben@example.com"])
    assert ledger.extraction.mark_profiles([], ["ann@example.com"]) == {"ann@example.com": 1}
    with engine.connect() as connection:
        marks = connection.execute(text("SELECT agent_email, agent_profile FROM interaction ORDER BY 1")).all()
    assert marks == [("ann@example.com", "not_approved"), ("ben@example.com", "not_approved")]


def test_the_hourly_questions_never_read_the_whole_table(ledger: Ledger, engine: Engine, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(50)], by_run("run"))
    asked: list[tuple[str, Any]] = []
    listener = (engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    event.listen(*listener)
    ledger.extraction.record_closings([closing(100)], by_run("run"))
    clock.forward(hours=1)
    ledger.releasing.list_due_times(clock())
    ledger.releasing.recover(by_run("run"))
    (held,) = ledger.releasing.claim(NOON, clock(), 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(held, LEASE, REQUEST)
    ledger.releasing.settle(held, State.SENT, 201)
    ledger.backlog()
    ledger.history(held.interaction.conversation_id)
    event.remove(*listener)
    questions = [one for one in asked if "interaction" in one[0] and not one[0].startswith("INSERT")]
    assert len(questions) > 8
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if not sqlite:
            # fifty rows are read fastest without any index: what matters is that there is another way
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in questions:
            explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
            plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
            whole = re.search(r"SCAN interaction(?! USING)|Seq Scan on interaction", plan)
            assert whole is None, f"{statement}\n{plan}"
