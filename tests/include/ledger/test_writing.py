"""The ledger's memory of what is to be written to Kustomer."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.interactions.survey_response import SurveyResponse
from include.interactions.write_back import Target, WriteState
from include.ledger import Ledger
from tests.support.ledger import NOON, Clock, by_run, closing

NOTE, ATTRIBUTES = Target.NOTE, Target.ATTRIBUTES


@pytest.fixture
def answered(ledger: Ledger, clock: Clock) -> Any:
    """A function that records an answer to the closing of conversation `number`; returns its uuid."""

    def record(
        number: int = 1, at: datetime | None = None, sequence: int = 1, uuid: str | None = None, **more: Any
    ) -> str:
        ledger.extraction.record_closings([closing(number)], by_run("run"))
        one = closing(number)
        ledger.feedback.record_responses(
            [
                SurveyResponse(
                    uuid=uuid or f"u{number}",
                    sequence_id=sequence,
                    conversation_id=one.conversation_id,
                    closed_at=one.closed_at,
                    requested_via="API",
                    response_received_at=at or clock(),
                    **{"rating": 5, **more},
                )
            ]
        )
        return uuid or f"u{number}"

    return record


def due(ledger: Ledger, target: Target = ATTRIBUTES) -> list[Any]:
    return ledger.writing.list_due(target, 100, ledger._now() + timedelta(seconds=1))


def uuids(ledger: Ledger, target: Target = ATTRIBUTES) -> list[str]:
    return [write.answer.uuid for write in due(ledger, target)]


def test_only_answers_since_the_target_was_switched_on_are_planned(
    ledger: Ledger, clock: Clock, answered: Any
) -> None:
    answered(1)
    clock.forward(minutes=1)
    assert ledger.writing.plan(ATTRIBUTES) == 0
    clock.forward(minutes=1)
    answered(2)
    answered(3, at=NOON)  # given before, read after
    assert ledger.writing.plan(ATTRIBUTES) == 1
    assert uuids(ledger) == ["u2"]
    clock.forward(minutes=1)
    assert ledger.writing.plan(NOTE) == 0


def test_what_was_planned_is_not_planned_again_until_it_changes(
    ledger: Ledger, clock: Clock, answered: Any
) -> None:
    for target in (ATTRIBUTES, NOTE):
        ledger.writing.plan(target)
    answered(1)
    for target in (ATTRIBUTES, NOTE):
        assert ledger.writing.plan(target) == 1
        assert ledger.writing.plan(target) == 0
        (write,) = ledger.writing.begin(due(ledger, target))
        assert ledger.writing.settle(write, WriteState.WRITTEN, content_hash="h")
    assert uuids(ledger) == []
    clock.forward(minutes=1)
    answered(1, at=NOON, sequence=2, rating=1)
    assert [ledger.writing.plan(target) for target in (ATTRIBUTES, NOTE)] == [1, 0]
    assert due(ledger)[0].content_hash == "h"
    assert due(ledger)[0].answer.values["stars"] == 1


def test_a_later_answer_of_the_conversation_replaces_an_earlier_one(
    ledger: Ledger, clock: Clock, answered: Any
) -> None:
    ledger.writing.plan(ATTRIBUTES)
    answered(1)
    answered(1, uuid="later", at=NOON + timedelta(minutes=1))
    ledger.writing.plan(ATTRIBUTES)
    assert {write.answer.uuid: write.replaced for write in due(ledger)} == {"u1": True, "later": False}


def test_of_two_writers_one_begins(ledger: Ledger, answered: Any) -> None:
    ledger.writing.plan(NOTE)
    answered(1)
    ledger.writing.plan(NOTE)
    first, second = due(ledger, NOTE), due(ledger, NOTE)
    (begun,) = ledger.writing.begin(first)
    assert ledger.writing.begin(second) == []
    assert not ledger.writing.start_note(second[0])
    assert ledger.writing.start_note(begun)
    assert not ledger.writing.start_note(begun)
    assert due(ledger, NOTE)[0].doubtful_since == NOON


def test_a_change_while_writing_is_written_too(ledger: Ledger, clock: Clock, answered: Any) -> None:
    ledger.writing.plan(ATTRIBUTES)
    answered(1)
    ledger.writing.plan(ATTRIBUTES)
    (write,) = ledger.writing.begin(due(ledger))
    clock.forward(minutes=1)
    answered(1, sequence=2, rating=1)
    ledger.writing.plan(ATTRIBUTES)
    assert not ledger.writing.settle(write, WriteState.WRITTEN, content_hash="old")
    assert due(ledger)[0].content_hash is None


def test_an_erased_customer_leaves_no_row_and_no_write_may_begin(
    ledger: Ledger, clock: Clock, answered: Any, engine: Engine
) -> None:
    for target in Target:
        ledger.writing.plan(target)
    answered(1, comment="I am Customer 1")
    answered(2)
    for target in Target:
        ledger.writing.plan(target)
    held = [write for write in due(ledger) if write.answer.uuid == "u1"]
    ledger.admin.erase_customer("customer-1", by_run("admin"), "asked", dry_run=False)
    assert ledger.writing.begin(held) == []
    assert not ledger.writing.start_note(held[0])
    assert not ledger.writing.settle(held[0], WriteState.WRITTEN)
    with engine.connect() as connection:
        assert {row.uuid for row in connection.execute(text("SELECT uuid FROM answer_write"))} == {"u2"}
    clock.forward(minutes=1)
    answered(1, sequence=2, comment="again")
    for target in Target:
        assert ledger.writing.plan(target) == 0


def test_what_failed_waits_for_a_person(ledger: Ledger, clock: Clock, answered: Any) -> None:
    ledger.writing.plan(NOTE)
    answered(1)
    ledger.writing.plan(NOTE)
    (write,) = ledger.writing.begin(due(ledger, NOTE))
    assert ledger.writing.start_note(write)
    ledger.writing.settle(write, WriteState.FAILED, detail="the outcome is unknown")
    assert ledger.writing.count_unwritten([NOTE], NOON).failed == 1
    clock.forward(minutes=1)
    answered(1, sequence=2, rating=1)
    assert ledger.writing.plan(NOTE) == 0
    assert ledger.writing.write_again(None, "looked", dry_run=True) == 1
    assert ledger.writing.write_again("another", "looked", dry_run=False) == 0
    assert uuids(ledger, NOTE) == []
    assert ledger.writing.write_again(closing(1).conversation_id, "looked", dry_run=False) == 1
    assert uuids(ledger, NOTE) == ["u1"]
    assert ledger.writing.count_unwritten([NOTE], NOON + timedelta(days=1)).waiting == 1
    assert ledger.writing.count_unwritten([ATTRIBUTES], NOON + timedelta(days=1)).waiting == 0


def test_what_was_tried_least_comes_first_and_once_a_run(ledger: Ledger, clock: Clock, answered: Any) -> None:
    ledger.writing.plan(ATTRIBUTES)
    for number in (1, 2):
        answered(number)
    ledger.writing.plan(ATTRIBUTES)
    began = clock()
    (first,) = ledger.writing.begin(due(ledger)[:1])
    clock.forward(minutes=1)
    assert [write.answer.uuid for write in ledger.writing.list_due(ATTRIBUTES, 9, began)] == ["u2"]
    assert uuids(ledger) == ["u2", first.answer.uuid]
