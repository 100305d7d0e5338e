"""Deferred readings: read again what earlier runs could not read."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime

from include.interactions.deferred_reading import DeferredReading, is_exhausted
from include.interactions.span import Span
from include.interactions.utc import MILLISECOND
from include.ledger.extraction import ExtractionStore
from plugins.pipeline.extraction import Extraction
from plugins.vendor_api.errors import VendorApiError

log = logging.getLogger(__name__)

MAX_CLOSINGS = 1_000
MAX_SPANS = 20
MAX_SECONDS = 180.0
"""Limit per run: due interactions must not wait for deferred readings."""


def read_again(extraction: Extraction, store: ExtractionStore, began_at: datetime) -> None:
    """Read what earlier runs deferred, starting with the oldest attempt.

    An outage ends it, settles nothing, and does not fail the run, which has read its own span.
    """
    until = time.monotonic() + MAX_SECONDS
    try:
        if readings := store.list_deferred_closings(began_at, limit=MAX_CLOSINGS):
            extraction.read_closings(readings, began_at)
        for reading in store.list_deferred_spans(began_at, limit=MAX_SPANS):
            if time.monotonic() > until:
                break
            _read_span_again(extraction, store, reading, began_at)
    except VendorApiError as error:
        log.warning("%s The next run tries the deferred readings again.", error)


def read_span(
    extraction: Extraction, store: ExtractionStore, span: Span, *, around_broken: bool
) -> list[DeferredReading]:
    """Read a span, defer the parts of it that are incomplete, and return them.

    `around_broken` leaves out milliseconds that are known to break the search. They are read alone; finding them
    again each time would cost about fifty searches.
    """
    closed_from, closed_to = span.closed_from, span.closed_to
    edges = [closed_from]
    for reading in store.list_spans_within(closed_from, closed_to) if around_broken else ():
        if reading.closed_to - reading.closed_from <= MILLISECOND:
            edges += [reading.closed_from, reading.closed_to]
    incomplete: list[DeferredReading] = []
    for start, end in zip(edges[::2], [*edges[1::2], closed_to], strict=True):
        if start < end:
            incomplete += extraction.read_span(start, end)
    store.defer(incomplete)
    return incomplete


def describe_incomplete(incomplete: Sequence[DeferredReading]) -> str:
    """Describe in one sentence the parts of a span that could not be read whole."""
    first = incomplete[0]
    return (
        f"Kustomer's search did not return all closings: {len(incomplete)} parts of the span are incomplete "
        f"(first: {first.closed_from.isoformat()} to {first.closed_to.isoformat()}, {first.detail}). What came is "
        "recorded. The parts are deferred readings, which later scheduled runs read again."
    )


def _read_span_again(
    extraction: Extraction, store: ExtractionStore, reading: DeferredReading, now: datetime
) -> None:
    incomplete = extraction.read_span(reading.closed_from, reading.closed_to)
    if incomplete and is_exhausted(reading, now):
        log.error(
            "Closings from %s to %s are given up: Kustomer has not returned them since %s (%s).",
            reading.closed_from.isoformat(),
            reading.closed_to.isoformat(),
            reading.first_seen and reading.first_seen.isoformat(),
            reading.detail,
        )
        incomplete = []
    store.narrow_deferred(reading, incomplete)
