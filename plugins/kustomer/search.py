"""Find every closing of a span: divide it into windows, read their pages, and report what is missing.

Section numbers refer to the Kustomer fact sheet.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, pairwise
from typing import Generic, Literal, TypeVar

from include.interactions.utc import MILLISECOND
from plugins.kustomer.api import MAX_PAGES, id_of
from plugins.kustomer.by_id import Record
from plugins.kustomer.hook import PAGE_SIZE, KustomerHook, SearchPage
from plugins.kustomer.instants import as_text, from_milliseconds, to_milliseconds
from plugins.vendor_api.errors import BrokenAnswer, OutcomeUnknown, VendorApiError
from plugins.vendor_api.hook import READ_ATTEMPTS

log = logging.getLogger(__name__)

ConversationT = TypeVar("ConversationT")
CustomerT = TypeVar("CustomerT")

SPLIT_ABOVE = 5_000
MAX_PARTS = 1_000
"""Limit of the parts of one window, in case Kustomer's count is wrong."""
MAX_READINGS = 4
"""Readings of a one-page window that returns fewer rows than its total."""
READS_PER_SEARCH = 3  # section 6: 100 searches, and by default 300 calls of ours in all, a minute
MAX_SINGLE_READS = 20
"""Up to this many customers are read by id if the search for them fails."""

ATTEMPTS_APART = 2
"""Attempts for a part of a window that failed."""
MAX_FAILED_SEARCHES = 64
"""Enough to separate two broken milliseconds of a day; other failed parts stay unread."""
MAX_SECONDS_APART = 120.0
"""The same limit in time, if Kustomer does not answer: due interactions must not wait for extraction."""


@dataclass(frozen=True, slots=True)
class SearchWindow(Generic[ConversationT, CustomerT]):
    """The closings of one window of time, with the customers that the search gave for them.

    Attributes:
        closed_from: first instant of the window (UTC).
        closed_to: first instant after it.
        conversations: what the caller's function made of each conversation, each id once.
        customers: the same for customers of these conversations; not necessarily all of them.
        short_by: how many rows Kustomer counted but did not return; at least 1 if its pages contradict each other.
        fault: why the window could not be read at all; None if it could.
    """

    closed_from: datetime
    closed_to: datetime
    conversations: list[ConversationT]
    customers: list[CustomerT]
    short_by: int = 0
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the span in milliseconds; `is_apart` if it belongs to a window that failed."""

    start: int
    end: int
    is_apart: bool = False

    def parts(self, number: int, *, is_apart: bool = False) -> list[_Piece]:
        number = min(number, self.end - self.start, MAX_PARTS)
        edges = [self.start + (self.end - self.start) * part // number for part in range(number + 1)]
        return [_Piece(start, end, self.is_apart or is_apart) for start, end in pairwise(edges)]

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        return from_milliseconds(self.start), from_milliseconds(self.end)

    @property
    def is_one_millisecond(self) -> bool:
        return self.end - self.start <= 1


class ClosingsSearch(Generic[ConversationT, CustomerT]):
    """Reads the closings of a span in windows of bounded size, one search at a time.

    At 100 searches a minute (section 6) parallel searches would only wait for each other.

    Args:
        read_conversation: what to keep of a raw conversation. It must not raise, and sees a record again if a
            window is read again.
        read_customer: the same for customers.
        any_status: also find conversations that are open now, by their last closing.
        split_above: a window with more closings is divided before its second page is read, because searches get
            slow and end on deep pages (section 2.3).
    """

    def __init__(
        self,
        kustomer: KustomerHook,
        *,
        read_conversation: Callable[[Record], ConversationT],
        read_customer: Callable[[Record], CustomerT],
        any_status: bool = False,
        split_above: int = SPLIT_ABOVE,
    ) -> None:
        self.kustomer = kustomer
        self.read_conversation = read_conversation
        self.read_customer = read_customer
        self.any_status = any_status
        self.split_above = split_above
        self._failed_searches = 0
        self._seconds_apart = 0.0

    def windows(
        self, closed_from: datetime, closed_to: datetime
    ) -> Iterator[SearchWindow[ConversationT, CustomerT]]:
        """Yield everything closed in [`closed_from`, `closed_to`), in windows of bounded size, in order of time.

        Memory depends on one window, not on the span. A window counts as read if all its pages state the same
        total and all rows came. Otherwise it is read again in parts of one page, which cannot contradict itself.

        If a window fails, Kustomer is asked for an empty one. If that fails too, it is an outage. Else the window
        is halved until only the broken millisecond is left, which comes with its `fault`. Such parts come last.

        Raises:
            VendorApiError: an outage, or a fault of the key.
        """
        pieces = [_Piece(to_milliseconds(closed_from), to_milliseconds(closed_to))]
        apart: deque[_Piece] = deque()  # the largest first
        while pieces or apart:
            piece = pieces.pop() if pieces else apart.popleft()
            if piece.start >= piece.end:
                continue
            began = time.monotonic()
            try:
                result = self._read_or_divide(piece)
            except (OutcomeUnknown, BrokenAnswer) as error:
                result = self._halve(piece, error, began)
            if isinstance(result, SearchWindow):
                yield result
            elif result[0].is_apart:
                apart.extend(result)
            else:
                pieces += reversed(result)

    def _halve(
        self, piece: _Piece, error: VendorApiError, began: float
    ) -> list[_Piece] | SearchWindow[ConversationT, CustomerT]:
        """Return the halves of a piece that failed, or the window that cannot be read."""
        if not piece.is_apart:
            self._check_that_search_works(error)
        self._failed_searches += 1
        self._seconds_apart += time.monotonic() - began
        log.warning("%s Searched for closings from %s to %s.", error, *map(as_text, piece.bounds))
        is_enough = self._failed_searches > MAX_FAILED_SEARCHES or self._seconds_apart > MAX_SECONDS_APART
        if piece.is_one_millisecond or is_enough:
            return SearchWindow(*piece.bounds, [], [], fault=describe_fault(error))
        return piece.parts(2, is_apart=True)

    def _check_that_search_works(self, error: VendorApiError) -> None:
        """Raise `error` if a search of an empty window fails too."""
        start = from_milliseconds(0)
        try:
            pages = list(islice(self._pages(start, start + MILLISECOND, ATTEMPTS_APART), 3))
        except VendorApiError:
            raise error from None
        if any(page.total for page in pages):
            raise error

    def _read_or_divide(self, piece: _Piece) -> list[_Piece] | SearchWindow[ConversationT, CustomerT]:
        attempts = ATTEMPTS_APART if piece.is_apart else READ_ATTEMPTS
        pages = self._pages(*piece.bounds, attempts)
        first = next(pages)
        if piece.is_one_millisecond:
            if first.total > PAGE_SIZE * MAX_PAGES:
                raise self.kustomer.search_error(
                    f"counts {first.total} closings within the millisecond from {as_text(piece.bounds[0])}, more "
                    f"than the {PAGE_SIZE * MAX_PAGES} that a search returns"
                )
        elif first.total > self.split_above:
            # Smaller than allowed, because closings are not spread evenly and each further division costs a search.
            return piece.parts(math.ceil(first.total / (self.split_above * 0.8)))
        window = self._read(piece, chain([first], pages), attempts)
        if window.short_by and first.total > PAGE_SIZE and not piece.is_one_millisecond:
            log.info("Reading this window again in parts of one page.")
            return piece.parts(max(2, math.ceil(first.total / (PAGE_SIZE * 0.8))))
        return window

    def _read(
        self, piece: _Piece, pages: Iterable[SearchPage], attempts: int
    ) -> SearchWindow[ConversationT, CustomerT]:
        """Return one window; `pages` are its first reading."""
        found: dict[str, ConversationT] = {}
        customer_ids: set[str] = set()
        nameless: list[ConversationT] = []
        short_by = 0
        for reading in range(1, MAX_READINGS + 1):
            nameless = []  # rows without an id: the caller counts them, but cannot distinguish them
            rows = _Rows(pages)
            for record in rows:
                if (id_ := id_of(record)) is None:
                    nameless.append(self.read_conversation(record))
                    continue
                found[id_] = self.read_conversation(record)
                if owner := _customer_id(record):
                    customer_ids.add(owner)
            total, short_by = rows.total, rows.short_by
            if not short_by:
                break
            log.warning(
                "Search for closings from %s to %s returned %d rows fewer than it counted (reading %d)",
                *map(as_text, piece.bounds),
                short_by,
                reading,
            )
            if total > PAGE_SIZE and not piece.is_one_millisecond:
                break  # read again in parts
            pages = self._pages(*piece.bounds, attempts)
        customers = self._search_customers(piece, customer_ids, attempts)
        return SearchWindow(*piece.bounds, [*found.values(), *nameless], customers, short_by)

    def _search_customers(self, piece: _Piece, wanted: set[str], attempts: int) -> list[CustomerT]:
        """Return the `wanted` customers by a search, unless single reads cost less.

        The search may return each customer with one closing after the start and another before the end. For an old
        window that can be most customers.
        """
        found: dict[str, CustomerT] = {}
        if not wanted:
            return []
        try:
            for number, page in enumerate(self._pages(*piece.bounds, attempts, "customer"), 1):
                for record in page.records:
                    if (id_ := id_of(record)) in wanted and id_ is not None:
                        found[id_] = self.read_customer(record)
                pages_left = max(0, min(math.ceil(page.total / PAGE_SIZE), MAX_PAGES) - number)
                if len(wanted) - len(found) <= pages_left * READS_PER_SEARCH:
                    break
        except (OutcomeUnknown, BrokenAnswer) as error:
            if len(wanted) - len(found) > MAX_SINGLE_READS and not piece.is_one_millisecond:
                raise
            log.warning("%s Reading %d customers by id instead.", error, len(wanted) - len(found))
        return list(found.values())

    def _pages(
        self,
        start: datetime,
        end: datetime,
        attempts: int,
        context: Literal["conversation", "customer"] = "conversation",
    ) -> Iterator[SearchPage]:
        return self.kustomer.search(context, start, end, any_status=self.any_status, attempts=attempts)


def describe_fault(error: VendorApiError) -> str:
    """Say briefly why a read failed, without personal data."""
    if error.status is not None:
        return f"HTTP {error.status}"
    return "unusable answer" if isinstance(error, BrokenAnswer) else "no answer"


class _Rows:
    """The rows of one reading, page after page; afterwards it knows by how many they fall short.

    If pages state different totals, rows may have moved from one page to another.
    """

    def __init__(self, pages: Iterable[SearchPage]) -> None:
        self._pages = pages
        self._totals: set[int] = set()
        self._ids: set[str] = set()
        self._nameless = 0

    def __iter__(self) -> Iterator[Record]:
        for page in self._pages:
            self._totals.add(page.total)
            for record in page.records:
                if (id_ := id_of(record)) is None:
                    self._nameless += 1
                else:
                    self._ids.add(id_)
                yield record
            if len(self._totals) > 1:
                return

    @property
    def total(self) -> int:
        """The highest total stated."""
        return max(self._totals)

    @property
    def short_by(self) -> int:
        """How many rows did not come; at least 1 if the pages contradict each other."""
        missing = self.total - len(self._ids) - self._nameless
        return max(missing, int(len(self._totals) > 1))


def _customer_id(record: Record) -> str | None:
    try:
        value = record["relationships"]["customer"]["data"]["id"]
    except (KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None
