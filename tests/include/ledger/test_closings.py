from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import IntegrityError

from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger import Ledger, Recorded
from include.ledger.columns import Instant, storable
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing


def test_a_closing_is_planned_once_however_often_it_is_recorded(ledger: Ledger, clock: Clock) -> None:
    closings = [closing(1), closing(2), closing(2)]
    assert ledger.extraction.record_closings(closings, by_run("first")) == Recorded(planned=2, known=1)
    clock.forward(hours=1)
    assert ledger.extraction.record_closings(closings, by_run("second")) == Recorded(known=3)
    assert [(event.to_state, str(event.by)) for event in ledger.history(closing(2).conversation_id)] == [
        (State.PLANNED, "first")
    ]


def test_what_cannot_be_surveyed_is_recorded_with_its_reason(ledger: Ledger) -> None:
    bare = Interaction("bare", NOON, NOON, skip=Reason.MALFORMED_RECORD, detail="no customer")
    recorded = ledger.extraction.record_closings(
        [bare, closing(1, skip=Reason.MERGED), closing(2, skip=Reason.MERGED)], by_run("run")
    )
    assert recorded == Recorded(skipped=Counter({Reason.MERGED: 2, Reason.MALFORMED_RECORD: 1}))
    (event,) = ledger.history("bare")
    assert (event.from_state, event.to_state, event.reason, event.detail) == (
        None,
        State.SKIPPED,
        Reason.MALFORMED_RECORD,
        "no customer",
    )


def test_more_closings_than_one_transaction_takes_are_all_recorded(ledger: Ledger) -> None:
    assert (
        ledger.extraction.record_closings([closing(number) for number in range(2_345)], by_run("run")).planned
        == 2_345
    )
    assert ledger.counts() == {(State.PLANNED, None): 2_345}


def test_nothing_to_record_is_an_honest_zero(ledger: Ledger) -> None:
    assert ledger.extraction.record_closings([], by_run("run")) == Recorded()


def test_a_later_closing_takes_the_place_of_one_that_still_waits(ledger: Ledger) -> None:
    later = closing(1, closed_at=NOON + timedelta(minutes=10))
    ledger.extraction.record_closings([closing(1)], by_run("run 1"))
    assert ledger.extraction.record_closings([later], by_run("run 2")) == Recorded(planned=1, superseded=1)
    events = ledger.history(closing(1).conversation_id)
    assert [(event.closed_at, event.to_state, event.reason, str(event.by)) for event in events] == [
        (NOON, State.PLANNED, None, "run 1"),
        (NOON, State.CANCELLED, Reason.SUPERSEDED, "run 2"),
        (later.closed_at, State.PLANNED, None, "run 2"),
    ]


def test_an_earlier_closing_found_late_is_superseded_at_once(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1, closed_at=NOON + timedelta(minutes=10))], by_run("hourly"))
    assert ledger.extraction.record_closings([closing(1)], by_run("backfill")) == Recorded(planned=1, superseded=1)


def test_a_later_closing_that_is_skipped_supersedes_nothing(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    later = closing(1, closed_at=NOON + timedelta(minutes=10), skip=Reason.NO_AGENT_ASSIGNED)
    assert ledger.extraction.record_closings([later], by_run("run")).superseded == 0


def test_a_closing_that_is_being_sent_is_not_superseded(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    clock.forward(hours=1)
    (claimed,) = ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))
    later = closing(1, closed_at=NOON + timedelta(minutes=70))
    assert ledger.extraction.record_closings([later], by_run("run")) == Recorded(planned=1)
    assert ledger.releasing.start_sending(claimed, LEASE, REQUEST)


def test_a_planned_closing_without_an_address_is_refused_without_naming_a_person(engine: Engine) -> None:
    broken = Interaction("c", NOON, NOON, customer_name="Jane Doe", customer_email="jane@example.com")
    with pytest.raises(IntegrityError) as refusal:
        Ledger(engine).extraction.record_closings([broken], by_run("run"))
    assert "jane" not in str(refusal.value).lower()


def test_text_that_a_database_cannot_hold_does_not_stop_its_hour(ledger: Ledger, clock: Clock) -> None:
    strange = Interaction(
        "c\0",
        NOON,
        NOON,
        customer_name="a\0b\ud800c",
        customer_email="c@example.com",
        agent_email="a@example.com",
        tags=("\0", "\udfff", "ü"),
    )
    assert ledger.extraction.record_closings([strange, closing(2)], by_run("run")).planned == 2
    assert ledger.extraction.record_closings([strange], by_run("run")).known == 1
    (claimed,) = ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))
    assert claimed.interaction.customer_name == "a\N{REPLACEMENT CHARACTER}b?c"
    assert claimed.interaction.tags == strange.tags


@given(st.text(st.characters(categories=None)))
def test_storable_text_is_left_alone_by_a_second_look(text: str) -> None:
    assert storable(storable(text)) == storable(text)
    assert "\0" not in storable(text)
    assert len(storable(text).encode()) >= len(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - the zone is drawn too
def test_an_instant_comes_back_as_the_same_millisecond_in_utc(moment: datetime) -> None:
    column = Instant()
    stored = column.process_bind_param(moment, DefaultDialect())
    back = column.process_result_value(stored, DefaultDialect())
    assert back is not None
    assert back.tzinfo is UTC
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


def test_a_naive_time_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="naive"):
        ledger.releasing.list_due_times(datetime(2026, 3, 2))  # noqa: DTZ001 - the subject of the test


def test_times_of_another_zone_are_the_same_instants(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing(1)], by_run("run"))
    elsewhere = closing(1, closed_at=NOON.astimezone(timezone(timedelta(hours=-7))))
    assert ledger.extraction.record_closings([elsewhere], by_run("run")).known == 1
