import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text, update

from include.interactions.answers import Answer
from include.interactions.interaction import ClaimedInteraction
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import Cursor, Learnt, Ledger, Shown
from include.ledger.schema import interaction, survey_response
from tests.support.ledger import LEASE, NOON, REQUEST, Clock, by_run, closing

HOUR = timedelta(hours=1)


@pytest.fixture
def sending(ledger: Ledger, clock: Clock) -> list[ClaimedInteraction]:
    """Three interactions whose requests have just left, at 13:00."""
    ledger.extraction.record_closings([closing(number) for number in (1, 2, 3)], by_run("extraction"))
    clock.forward(hours=1)
    claimed = ledger.releasing.claim(NOON, clock(), 10, LEASE, by_run("run"))
    for one in claimed:
        ledger.releasing.start_sending(one, LEASE, REQUEST)
    return claimed


def response(number: int = 1, **fields: Any) -> SurveyResponse:
    known = {
        "uuid": f"u{number}",
        "sequence_id": number,
        "conversation_id": closing(number).conversation_id,
        "closed_at": NOON,
        "requested_via": "API",
        "request_created_at": NOON + HOUR,
    }
    return SurveyResponse(**(known | fields))


def rows(engine: Engine, columns: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT {columns} FROM survey_response ORDER BY uuid"))
        return [tuple(row) for row in found]


# --- recording


def test_a_record_belongs_to_its_interaction(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    read = [
        response(1, rating=5, comment="naïve \0 \ud800", response_received_at=NOON + 2 * HOUR),
        response(2, delivery_status="Sent"),
        response(3, conversation_id="of nobody"),
    ]
    assert ledger.feedback.record_responses(read) == Learnt(changed=2, answered=1, not_ours=1)
    assert rows(engine, "interaction_id, rating, comment, delivery_status") == [
        (sending[0].id, 5, "naïve \N{REPLACEMENT CHARACTER} ?", None),
        (sending[1].id, None, None, "Sent"),
    ]


WHOLE = (Answer("nps", "Would you? \0 \ud800", 3, ("3",), "no \ud800"), Answer("fcr", None, None, (), None))


def test_the_whole_answer_is_kept_as_it_can_be_stored(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    said = {"nps": 3, "resolved": False, "language": "de", "survey_name": "After", "team_leader": "Ines"}
    ledger.feedback.record_responses([response(1, answers=WHOLE, disputed=True, **said)])
    with engine.connect() as connection:
        row = connection.execute(select(survey_response)).one()
    assert {name: getattr(row, name) for name in said} == said
    assert (row.disputed, row.is_recovery, row.parent_uuid) == (True, None, None)
    assert row.answers == (
        Answer("nps", "Would you? \N{REPLACEMENT CHARACTER} ?", 3, ("3",), "no ?"),
        Answer("fcr", None, None, (), None),
    )


def test_a_late_dispute_and_a_second_comment_replace_the_answer(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    ledger.feedback.record_responses([response(1, rating=1, disputed=False, answers=WHOLE[:1])])
    late = response(1, sequence_id=9, rating=1, disputed=True, answers=WHOLE)
    assert ledger.feedback.record_responses([late]).changed == 1
    assert ledger.feedback.record_responses([response(1, rating=1, disputed=False)]).changed == 0
    with engine.connect() as connection:
        row = connection.execute(select(survey_response)).one()
    assert (row.disputed, len(row.answers)) == (True, 2)


def test_without_our_property_a_record_is_recognised_by_our_first_attempt(
    ledger: Ledger, sending: list[ClaimedInteraction]
) -> None:
    early = response(1, closed_at=None, request_created_at=NOON)
    ours = response(2, closed_at=None)
    assert ledger.feedback.record_responses([early, ours]) == Learnt(changed=1, not_ours=1)


def test_the_highest_number_wins_in_whatever_order_the_versions_come(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    versions = [response(sequence_id=number, delivery_status=str(number)) for number in (5, 9, 7)]
    assert ledger.feedback.record_responses(versions).changed == 1
    assert rows(engine, "sequence_id, delivery_status") == [(9, "9")]
    assert ledger.feedback.record_responses([response(sequence_id=8, delivery_status="8")]).changed == 0
    assert rows(engine, "sequence_id, delivery_status") == [(9, "9")]
    assert ledger.feedback.record_responses([response(sequence_id=10, delivery_status="10")]).changed == 1
    assert rows(engine, "sequence_id, delivery_status") == [(10, "10")]


def test_the_same_number_counts_only_where_it_says_something_else(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    ledger.feedback.record_responses([response()])
    assert ledger.feedback.record_responses([response()]).changed == 0
    assert (
        ledger.feedback.record_responses([response(rating=4, response_received_at=NOON + 3 * HOUR)]).answered == 1
    )
    assert rows(engine, "rating") == [(4,)]


def test_more_records_than_one_statement_takes(ledger: Ledger, sending: list[ClaimedInteraction]) -> None:
    many = [response(1, uuid=f"x{number}", sequence_id=number) for number in range(2500)]
    assert ledger.feedback.record_responses(many).changed == 2500


def test_the_words_of_an_erased_customer_do_not_come_back(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    ledger.releasing.settle(sending[0], State.SENT, 200)
    with engine.begin() as connection:
        connection.execute(update(interaction).values(customer_email=None).where(interaction.c.id == sending[0].id))
    ledger.feedback.record_responses([response(comment="words", rating=2, answers=WHOLE, team_leader="Ines")])
    assert rows(engine, "comment, answers, team_leader, rating") == [(None, None, None, 2)]


# --- the cursor


def test_the_cursor_moves_forward_only(ledger: Ledger) -> None:
    assert ledger.feedback.read_cursor() == Cursor()
    for number, reached in ((5, 5), (3, 5), (0, 5), (8, 8)):
        ledger.feedback.record_responses([], cursor=number)
        assert ledger.feedback.read_cursor().sequence_id == reached
    ledger.feedback.record_responses([])
    assert ledger.feedback.read_cursor().sequence_id == 8


def test_a_reading_by_time_is_remembered_beside_the_cursor(ledger: Ledger) -> None:
    ledger.feedback.note_reread(NOON, NOON + 2 * HOUR)
    assert ledger.feedback.read_cursor() == Cursor(None, NOON, NOON + 2 * HOUR)
    ledger.feedback.record_responses([], cursor=4)
    ledger.feedback.note_reread(NOON - HOUR, NOON + HOUR)
    assert ledger.feedback.read_cursor() == Cursor(4, NOON, NOON + 2 * HOUR)
    ledger.feedback.note_reread(NOON + HOUR, NOON + 3 * HOUR)
    assert ledger.feedback.read_cursor() == Cursor(4, NOON + HOUR, NOON + 3 * HOUR)


def test_the_first_attempt_is_when_the_first_request_left(
    ledger: Ledger, sending: list[ClaimedInteraction]
) -> None:
    assert ledger.feedback.find_first_attempt() == NOON + HOUR


def test_there_is_no_first_attempt_before_anything_was_sent(ledger: Ledger) -> None:
    ledger.extraction.record_closings([closing()], by_run("run"))
    assert ledger.feedback.find_first_attempt() is None


# --- unknown outcomes


def last_event(ledger: Ledger, number: int = 1) -> tuple[State | None, State, str | None, str | None]:
    one = ledger.history(closing(number).conversation_id)[-1]
    return one.from_state, one.to_state, one.detail, str(one.by)


def test_an_unknown_outcome_is_known_with_its_attempt_and_where_it_is_shown(
    ledger: Ledger, clock: Clock, sending: list[ClaimedInteraction]
) -> None:
    clock.forward(minutes=1)
    for one in sending[:2]:
        ledger.releasing.settle(one, State.UNKNOWN, 500, "500")
    ledger.feedback.record_responses([response(2)])
    seen = [(one.interaction_id, one.attempted_at, one.shown_at) for one in ledger.feedback.list_unknown_outcomes()]
    assert seen == [(sending[0].id, NOON + HOUR, None), (sending[1].id, NOON + HOUR, NOON + HOUR)]


def test_found_is_sent_once_and_its_holder_comes_too_late(
    ledger: Ledger, sending: list[ClaimedInteraction]
) -> None:
    held = sending[0]
    ledger.releasing.settle(held, State.UNKNOWN, None, "read timeout")
    assert ledger.feedback.settle_found(held.id, NOON + HOUR, by_run("feedback"))
    assert last_event(ledger) == (State.UNKNOWN, State.SENT, "found in Data Return", "feedback")
    assert not ledger.feedback.settle_found(held.id, NOON + HOUR, by_run("feedback"))
    assert not ledger.releasing.settle(held, State.REJECTED, 400, "late")
    assert ledger.counts()[State.SENT, None] == 1


@pytest.mark.parametrize("state", [State.SENDING, State.SENT, State.REJECTED, State.PLANNED])
def test_only_what_is_unknown_is_settled(ledger: Ledger, sending: list[ClaimedInteraction], state: State) -> None:
    held = sending[0]
    {
        State.SENDING: lambda: None,
        State.SENT: lambda: ledger.releasing.settle(held, State.SENT, 200),
        State.REJECTED: lambda: ledger.releasing.settle(held, State.REJECTED, 400, None),
        State.PLANNED: lambda: ledger.releasing.settle(held, State.PLANNED, 429, None),
    }[state]()
    before = ledger.history(held.interaction.conversation_id)
    assert not ledger.feedback.settle_found(held.id, NOON, by_run("feedback"))
    assert ledger.history(held.interaction.conversation_id) == before


def test_absent_is_planned_again_once(ledger: Ledger, clock: Clock, sending: list[ClaimedInteraction]) -> None:
    ledger.releasing.settle(sending[0], State.UNKNOWN, 500, "500")
    absent = ledger.feedback.list_unknown_outcomes()
    assert ledger.feedback.resend_absent([], by_run("feedback")) == 0
    assert ledger.feedback.resend_absent(absent, by_run("feedback")) == 1
    assert last_event(ledger) == (State.UNKNOWN, State.PLANNED, "absent from Data Return", "feedback")
    assert ledger.feedback.resend_absent(absent, by_run("feedback")) == 0

    (again,) = ledger.releasing.claim(NOON, clock(), 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(again, LEASE, REQUEST)
    ledger.releasing.settle(again, State.UNKNOWN, 500, "500")
    assert ledger.feedback.resend_absent(absent, by_run("feedback")) == 0, (
        "another attempt than the one that was absent"
    )
    assert ledger.feedback.resend_absent(ledger.feedback.list_unknown_outcomes(), by_run("feedback")) == 0, (
        "twice is for a person to decide"
    )


def test_what_its_holder_had_back_before_is_still_planned_again_once(
    ledger: Ledger, clock: Clock, sending: list[ClaimedInteraction]
) -> None:
    clock.forward(hours=1)
    ledger.releasing.recover(by_run("another run"))
    ledger.releasing.settle(sending[0], State.PLANNED, None, "never left after all")

    (again,) = ledger.releasing.claim(NOON, clock(), 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(again, LEASE, REQUEST)
    ledger.releasing.settle(again, State.UNKNOWN, 500, "500")
    (absent,) = (one for one in ledger.feedback.list_unknown_outcomes() if one.interaction_id == again.id)
    assert ledger.feedback.resend_absent([absent], by_run("feedback")) == 1


def test_what_was_shown_or_erased_meanwhile_is_not_planned_again(
    ledger: Ledger, engine: Engine, sending: list[ClaimedInteraction]
) -> None:
    for one in sending[:2]:
        ledger.releasing.settle(one, State.UNKNOWN, 500, "500")
    absent = ledger.feedback.list_unknown_outcomes()
    ledger.feedback.record_responses([response(1)])
    with engine.begin() as connection:
        connection.execute(update(interaction).values(customer_email=None).where(interaction.c.id == sending[1].id))
    assert ledger.feedback.resend_absent(absent, by_run("feedback")) == 0
    assert ledger.counts()[State.UNKNOWN, None] == 2


# --- comparing


def test_what_is_shown_twice_and_what_is_missing_is_counted(
    ledger: Ledger, clock: Clock, sending: list[ClaimedInteraction]
) -> None:
    for one in sending:
        ledger.releasing.settle(one, State.SENT, 200)
    ledger.feedback.record_responses(
        [response(1), response(1, uuid="again"), response(1, uuid="and again"), response(2)]
    )
    span: tuple[datetime, datetime] = (NOON, clock() + HOUR)
    assert ledger.feedback.compare_with_data_return(*span) == Shown(twice=1, missing=1)
    assert ledger.feedback.compare_with_data_return(NOON, clock()) == Shown(twice=1, missing=0), (
        "sent_at lies not before that"
    )
    assert ledger.feedback.compare_with_data_return(clock() + HOUR, clock() + 2 * HOUR) == Shown(twice=0, missing=0)


def test_refusals_are_counted_beside_what_was_taken(
    ledger: Ledger, clock: Clock, sending: list[ClaimedInteraction]
) -> None:
    ledger.releasing.settle(sending[0], State.SENT, 200)
    ledger.releasing.settle(sending[1], State.SENT, 200)
    ledger.releasing.settle(sending[2], State.REJECTED, 400, "INVALID")
    assert ledger.feedback.count_refused_and_sent(clock()) == (1, 2)
    assert ledger.feedback.count_refused_and_sent(clock() + HOUR) == (0, 0)


def test_no_question_reads_the_whole_table(
    ledger: Ledger, engine: Engine, clock: Clock, sending: list[ClaimedInteraction]
) -> None:
    ledger.extraction.record_closings([closing(number) for number in range(10, 60)], by_run("run"))
    ledger.releasing.settle(sending[0], State.UNKNOWN, 500, "500")
    ledger.releasing.settle(sending[1], State.SENT, 200)
    asked: list[tuple[str, Any]] = []
    listener = (engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    event.listen(*listener)
    ledger.feedback.record_responses([response(1), response(2)], cursor=2)
    ledger.feedback.compare_with_data_return(NOON, clock())
    ledger.feedback.count_refused_and_sent(NOON)
    unknown = ledger.feedback.list_unknown_outcomes()
    ledger.feedback.resend_absent(unknown, by_run("feedback"))
    ledger.feedback.settle_found(unknown[0].interaction_id, NOON, by_run("feedback"))
    event.remove(*listener)
    questions = [one for one in asked if "interaction" in one[0] and not one[0].startswith("INSERT")]
    assert len(questions) >= 7
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if not sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in questions:
            explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
            plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
            whole = re.search(r"SCAN (interaction|survey)(?!\w* USING)|Seq Scan on (interaction|survey)", plan)
            assert whole is None, f"{statement}\n{plan}"
