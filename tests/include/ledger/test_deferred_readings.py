"""What could not be read stays a row of its own until it was read."""

from dataclasses import replace
from datetime import timedelta

from include.interactions.deferred_reading import DeferredReading
from include.ledger import Ledger
from tests.support.ledger import NOON, Clock, by_run, closing

MILLISECOND = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)


def doubtful(number: int = 1, detail: str = "customer: HTTP 500") -> DeferredReading:
    return DeferredReading(NOON, NOON + MILLISECOND, detail, closing(number).conversation_id)


def span(hours: float = 1, detail: str = "2 rows counted, not returned") -> DeferredReading:
    return DeferredReading(NOON, NOON + hours * HOUR, detail)


def test_a_reading_is_one_row_however_often_it_is_deferred(ledger: Ledger, clock: Clock) -> None:
    assert ledger.extraction.defer([doubtful(), doubtful(2), span()]) == 3
    clock.forward(hours=1)
    assert ledger.extraction.defer([doubtful(detail="customer: no answer")]) == 1

    first, second = ledger.extraction.list_deferred_closings(clock() + HOUR, limit=10)
    assert (second.conversation_id, second.detail, second.tries) == (
        doubtful().conversation_id,
        "customer: no answer",
        2,
    )
    assert (second.first_seen, second.last_tried) == (NOON, clock())
    assert (first.conversation_id, first.tries) == (doubtful(2).conversation_id, 1)
    assert [one.detail for one in ledger.extraction.list_deferred_spans(clock() + HOUR, limit=10)] == [
        "2 rows counted, not returned"
    ]
    summary = ledger.extraction.summarise_deferred()
    assert (summary.closings, summary.spans, summary.oldest) == (2, 1, NOON)


def test_what_was_not_even_tried_comes_first_and_counts_no_try(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.defer([doubtful(), doubtful(2)])
    clock.forward(hours=1)
    ledger.extraction.defer([doubtful(), replace(doubtful(2), tries=0, detail="not asked")])

    first, second = ledger.extraction.list_deferred_closings(clock() + HOUR, limit=10)
    assert (first.conversation_id, first.tries, first.last_tried) == (doubtful(2).conversation_id, 1, NOON)
    assert first.detail == "customer: HTTP 500"
    assert second.tries == 2


def test_a_closing_that_is_recorded_is_in_no_doubt(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.record_closings([closing(1)], by=by_run("run"))
    assert ledger.extraction.defer([doubtful(1), doubtful(2)]) == 1

    unclear = DeferredReading(NOON - HOUR, NOON + HOUR, "closing time unreadable", closing(2).conversation_id)
    ledger.extraction.defer([unclear])
    ledger.extraction.record_closings([closing(2)], by=by_run("run"))
    assert ledger.extraction.summarise_deferred().closings == 0


def test_the_closing_of_another_time_stays_in_doubt(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.defer([doubtful()])
    ledger.extraction.record_closings([closing(1, closed_at=NOON + HOUR)], by=by_run("run"))
    assert ledger.extraction.summarise_deferred().closings == 1


def test_pauses_between_tries_grow_with_the_time_of_trying(ledger: Ledger, clock: Clock) -> None:
    def is_listed() -> bool:
        return bool(ledger.extraction.list_deferred_closings(clock(), limit=10))

    ledger.extraction.defer([doubtful()])
    assert not is_listed(), "not twice in one run"
    clock.forward(minutes=1)
    assert is_listed()
    clock.forward(hours=8)
    ledger.extraction.defer([doubtful()])
    clock.forward(hours=1)
    assert not is_listed()
    clock.forward(hours=1, minutes=1)
    assert is_listed()


def test_a_span_that_was_read_again_leaves_what_is_still_missing(ledger: Ledger, clock: Clock) -> None:
    ledger.extraction.defer([span()])
    clock.forward(hours=1)
    (noted,) = ledger.extraction.list_deferred_spans(clock(), limit=10)

    ledger.extraction.narrow_deferred(noted, [DeferredReading(NOON, NOON + MILLISECOND, "search: HTTP 500")])
    (narrow,) = ledger.extraction.list_spans_within(NOON, NOON + HOUR)
    assert (narrow.closed_to, narrow.first_seen, narrow.last_tried) == (NOON + MILLISECOND, NOON, clock())

    ledger.extraction.narrow_deferred(narrow, [replace(narrow, tries=1)])
    (again,) = ledger.extraction.list_spans_within(NOON, NOON + HOUR)
    assert again.tries == 2

    ledger.extraction.narrow_deferred(again, [])
    assert ledger.extraction.summarise_deferred().oldest is None
