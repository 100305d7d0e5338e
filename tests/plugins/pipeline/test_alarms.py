"""When a person is called, when again, and when not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from include.interactions.deferred_reading import DeferredReading
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.interactions.write_back import Target, WriteState
from include.ledger import Ledger, connect
from include.ledger.reports.overview import OVERDUE
from plugins.pipeline import masking, messages
from plugins.pipeline.alarms import NAMES, raise_alarms
from plugins.pipeline.feedback import GRACE, LOOKED_FOR
from plugins.pipeline.release import RELEASE_FAULT
from plugins.runtime.organisations import DEFAULT
from tests.support.ledger import LEASE, NOON, REQUEST, by_run, closing

NOW = NOON
BY_RECOVERY = {"reopenings_stopped", "recovery_failed"}
"""Have tests of their own in tests/scenarios/test_recovery.py."""
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _the_clock_stands() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What people are told; how it reaches them is the notifier's business."""
    texts: list[str] = []
    monkeypatch.setattr(messages, "send_message", lambda text: texts.append(text) or True)
    return texts


@pytest.fixture
def at(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that gives the ledger as it was so long ago."""
    connection = {"conn_type": "sqlite", "host": ledger_url.removeprefix("sqlite:///")}
    monkeypatch.setenv("AIRFLOW_CONN_INTERACTION_LEDGER", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", "{}")
    engine = connect(ledger_url)
    Ledger(engine).migrate()
    return lambda ago=timedelta(): Ledger(engine, lambda: NOW - ago)


def run(kind: str = "scheduled") -> Any:
    """The context of a run."""
    return {"params": {}, "dag_run": SimpleNamespace(dag_id="d", run_id="run", run_type=kind, run_after=NOW)}


def due(ledger: Ledger, number: int, ago: timedelta) -> None:
    delay = timedelta(hours=1)
    ledger.extraction.record_closings(
        [closing(number, closed_at=NOW - ago - delay, delay=delay)], by_run("extraction")
    )


def posted(ledger: Ledger, number: int) -> Any:
    """The claim of an interaction whose request has just left."""
    due(ledger, number, timedelta(days=1))
    (one,) = ledger.releasing.claim(NOW - timedelta(days=9), NOW, 1, LEASE, by_run("run"))
    ledger.releasing.start_sending(one, LEASE, REQUEST)
    return one


def test_a_quiet_ledger_raises_nothing(at: Any, told: list[str]) -> None:
    due(at(), 1, -MINUTE)

    facts = raise_alarms(run(), DEFAULT)

    assert (facts["planned"], facts["alarms"], told) == (1, [], [])


@pytest.mark.parametrize(("ago", "expected"), [(OVERDUE - MINUTE, []), (OVERDUE + MINUTE, ["overdue"])])
def test_overdue_by_more_than_ten_minutes_is_an_alarm(at: Any, ago: timedelta, expected: list[str]) -> None:
    due(at(), 1, ago)

    assert raise_alarms(run(), DEFAULT)["alarms"] == expected


def test_what_waits_for_a_wide_window_is_not_overdue(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", json.dumps({"release_window_seconds": 1800}))
    due(at(), 1, timedelta(minutes=50))

    assert raise_alarms(run(), DEFAULT)["alarms"] == []


@pytest.mark.parametrize(
    ("schedule", "covered_ago", "expected"),
    [
        ("0 * * * *", timedelta(hours=4), []),
        ("0 * * * *", timedelta(hours=5), ["extraction_behind"]),
        ("0 12 * * *", timedelta(days=1), []),  # read this noon's run not yet
        ("0 6 * * *", timedelta(hours=6), []),
        ("0 6 * * *", timedelta(hours=30), ["extraction_behind"]),
        ("0 9-17 * * 1-5", timedelta(hours=67), []),  # NOON is a Monday; covered up to Friday 17:00
        ("0 8-17 * * 1-5", timedelta(hours=67), ["extraction_behind"]),
    ],
)
def test_closings_that_are_not_read_any_more_are_an_alarm_even_without_any_row(
    at: Any, schedule: str, covered_ago: timedelta, expected: list[str]
) -> None:
    at().extraction.advance_watermark(NOW - timedelta(days=9), NOW - covered_ago)

    assert raise_alarms(run(), replace(DEFAULT, schedule=schedule))["alarms"] == expected


@pytest.mark.parametrize(("ago", "expected"), [(6, []), (7, ["readings_deferred"])])
def test_what_could_not_be_read_for_six_hours_is_an_alarm(at: Any, ago: int, expected: list[str]) -> None:
    closed_at = NOW - timedelta(days=1)
    reading = DeferredReading(closed_at, closed_at + timedelta(hours=1), "2 rows short")
    at(timedelta(hours=ago)).extraction.defer([reading])

    assert raise_alarms(run(), DEFAULT)["alarms"] == expected


def test_a_reason_that_ends_more_than_usual_is_an_alarm(at: Any, told: list[str]) -> None:
    def close(skipped: int, planned: int, days_ago: int, first: int) -> None:
        closed_at = NOW - timedelta(days=days_ago, hours=1)
        numbers = range(first, first + skipped + planned)
        reasons = [Reason.NO_CUSTOMER_EMAIL] * skipped + [None] * planned
        closings = [
            closing(number, closed_at=closed_at, skip=skip, delay=timedelta(days=9))
            for number, skip in zip(numbers, reasons, strict=True)
        ]
        at().extraction.record_closings(closings, by_run("extraction"))

    close(30, 70, days_ago=3, first=100)
    close(50, 50, days_ago=0, first=300)
    assert raise_alarms(run(), DEFAULT)["alarms"] == []
    close(2, 0, days_ago=0, first=500)
    assert raise_alarms(run(), DEFAULT)["alarms"] == ["unusual_endings"]
    assert "no_customer_email 52 of 102 (in the week before 30%)" in told[-1]


def test_what_a_dead_release_holds_is_overdue_too(at: Any) -> None:
    due(at(), 1, timedelta(hours=1))
    at(LEASE * 2).releasing.claim(NOW - timedelta(days=1), NOW, 1, LEASE, by_run("run"))

    assert raise_alarms(run(), DEFAULT)["alarms"] == ["overdue"]


@pytest.mark.parametrize(("later", "expected"), [(-MINUTE, []), (LOOKED_FOR + MINUTE, ["unknown"])])
def test_an_outcome_that_stays_unknown_past_the_grace_is_an_alarm(
    at: Any, told: list[str], later: timedelta, expected: list[str]
) -> None:
    then = at(GRACE + later)
    then.releasing.settle(posted(then, 1), State.UNKNOWN, None, "read timeout")

    assert raise_alarms(run(), DEFAULT)["alarms"] == expected
    assert ["interaction_ledger_admin" in text for text in told] == [True] * len(expected)


def test_what_is_sent_and_not_shown_is_an_alarm(at: Any) -> None:
    then = at(GRACE + MINUTE)
    then.releasing.settle(posted(then, 1), State.SENT, 201)

    assert raise_alarms(run(), DEFAULT)["alarms"] == ["not_shown"]


def test_an_opt_out_that_is_masked_is_an_alarm(at: Any) -> None:
    at().extraction.record_closings([replace(closing(1), do_not_send=None), closing(2)], by_run("extraction"))

    assert raise_alarms(run(), DEFAULT)["alarms"] == ["opt_out_masked"]


def test_masked_addresses_are_an_alarm_until_some_can_be_read(at: Any) -> None:
    at().set_fact(masking.FACT, "40")
    assert raise_alarms(run(), DEFAULT)["alarms"] == ["masked_addresses"]

    masking.note_readable_addresses(at())
    assert raise_alarms(run(), DEFAULT)["alarms"] == []


def test_what_has_no_entry_in_the_mapping_is_an_alarm_for_a_day(at: Any) -> None:
    unmapped = replace(closing(1, skip=Reason.UNMAPPED_BRAND), closed_at=NOW - timedelta(hours=23))
    at().extraction.record_closings([unmapped, closing(2, skip=Reason.RULE)], by_run("extraction"))
    assert raise_alarms(run(), DEFAULT)["alarms"] == ["unmapped"]


def test_what_is_shown_twice_is_an_alarm(at: Any) -> None:
    at().releasing.settle(posted(at(), 1), State.SENT, 201)
    one = {"conversation_id": closing(1).conversation_id, "closed_at": NOW - timedelta(days=1, hours=1)}
    shown = [SurveyResponse(uuid=f"u{n}", sequence_id=n, requested_via="API", **one) for n in (1, 2)]
    at().feedback.record_responses(shown)

    assert raise_alarms(run(), DEFAULT)["alarms"] == ["shown_twice"]


@pytest.mark.parametrize(("sent", "expected"), [(19, []), (18, ["refused"])])
def test_more_than_five_per_cent_refusals_are_an_alarm(at: Any, sent: int, expected: list[str]) -> None:
    for number in range(sent):
        at().releasing.settle(posted(at(), number), State.SENT, 201)
    at().releasing.settle(posted(at(), 99), State.REJECTED, 400, "no such channel")

    assert raise_alarms(run(), DEFAULT)["alarms"] == expected


@pytest.mark.parametrize("kind", ["scheduled", "manual"])
def test_people_get_a_message_when_an_alarm_starts_and_a_daily_reminder(
    at: Any, told: list[str], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    due(at(), 1, timedelta(days=1))
    quarters = [NOW + timedelta(minutes=15 * n) for n in (0, 1, 2, 50, 95, 96, 97, 191, 192)]

    for instant in quarters:
        with time_machine.travel(instant, tick=False):
            raise_alarms(run(kind), DEFAULT)

    assert len(told) == 3  # at the start, after a day, after two days
    lines = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert len(lines) == len(quarters)
    assert lines[0].startswith("ALARM: 1 planned interactions have been due for more than 10 minutes")


def test_an_alarm_that_starts_again_is_news(at: Any, told: list[str]) -> None:
    due(at(), 1, timedelta(hours=1))
    raise_alarms(run(), DEFAULT)
    at().admin.cancel(closing(1).conversation_id, None, by_run("a person"), "mended", dry_run=False)
    raise_alarms(run(), DEFAULT)
    due(at(), 2, timedelta(hours=1))
    raise_alarms(run(), DEFAULT)

    assert len(told) == 2


def test_a_message_that_did_not_arrive_is_sent_by_the_next_run(
    at: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    due(at(), 1, timedelta(hours=1))
    with monkeypatch.context() as broken:
        broken.setattr(messages, "send_message", lambda _: False)
        raise_alarms(run(), DEFAULT)
    raise_alarms(run(), DEFAULT)
    raise_alarms(run(), DEFAULT)

    assert len(told) == 1


def test_no_alarm_names_a_person(at: Any, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    leave_answer_unwritten(at, monkeypatch, 70)
    then = at(GRACE + LOOKED_FOR + MINUTE)
    then.releasing.settle(posted(then, 1), State.UNKNOWN, None, "read timeout")
    then.releasing.settle(posted(then, 2), State.SENT, 201)
    due(at(), 3, timedelta(days=1))
    unmapped = replace(closing(6, skip=Reason.UNMAPPED_BRAND), closed_at=NOW - timedelta(hours=2))
    at().extraction.record_closings([replace(closing(5), do_not_send=None), unmapped], by_run("extraction"))
    skipped = [closing(number, skip=Reason.NO_AGENT_ASSIGNED, closed_at=NOW - MINUTE) for number in range(10, 60)]
    at().extraction.record_closings(skipped, by_run("extraction"))
    at().extraction.advance_watermark(NOW - timedelta(days=9), NOW - timedelta(days=8))
    day = timedelta(days=1)
    at(day).extraction.defer([DeferredReading(NOW - 2 * day, NOW - day, "customer7@example.com: 500")])
    at().releasing.settle(posted(at(), 4), State.REJECTED, 400, "customer4@example.com is unknown")
    at().set_fact(masking.FACT, "40")
    at().set_fact(RELEASE_FAULT, "Stella Connect lists no active employee.")

    assert set(raise_alarms(run(), DEFAULT)["alarms"]) == set(NAMES) - {"shown_twice", *BY_RECOVERY}
    assert not [text for text in told if "@" in text or "customer" in text.lower()]


def leave_answer_unwritten(at: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """An answer for Kustomer that has waited for two days."""
    write_back = {"note": {"text": "{stars}"}}
    monkeypatch.setenv("AIRFLOW_VAR_KUSTOMER_STELLA_CONNECT", json.dumps({"write_back": write_back}))
    earlier, one = at(timedelta(days=2)), closing(number)
    earlier.writing.plan(Target.NOTE)
    earlier.extraction.record_closings([one], by_run("run"))
    response = SurveyResponse(
        uuid="u1",
        sequence_id=1,
        conversation_id=one.conversation_id,
        closed_at=one.closed_at,
        response_received_at=NOW,
        rating=5,
    )
    earlier.feedback.record_responses([response])
    earlier.writing.plan(Target.NOTE)


def test_answers_that_are_not_written_are_an_alarm(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_answer_unwritten(at, monkeypatch, 1)
    assert "answers_not_written" in raise_alarms(run(), DEFAULT)["alarms"]

    (write,) = at().writing.begin(at().writing.list_due(Target.NOTE, 1, NOW))
    at().writing.settle(write, WriteState.WRITTEN)
    assert "answers_not_written" not in raise_alarms(run(), DEFAULT)["alarms"]
