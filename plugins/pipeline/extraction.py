"""Extraction: closed conversations become rows of the interaction ledger."""

import gc
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from include.interactions.actor import Actor
from include.interactions.deferred_reading import DeferredReading, is_exhausted
from include.interactions.eligibility import doubt_of, is_closing, judge
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Customer, Malformed, read_conversation, read_customer
from include.interactions.settings import Settings
from include.interactions.utc import MILLISECOND
from include.ledger.extraction import ExtractionStore
from plugins.kustomer.api import id_of
from plugins.kustomer.hook import KustomerHook
from plugins.kustomer.search import ClosingsSearch, SearchWindow
from plugins.pipeline.kustomer_people import KustomerPeople
from plugins.pipeline.masking import MaskingCheck
from plugins.pipeline.read_ahead import read_ahead
from plugins.pipeline.surveying import make_planner

log = logging.getLogger(__name__)

GARBAGE_FACTOR = 100


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A conversation's record of which only the id can be read, perhaps not even that."""

    id: str | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What Kustomer gave for a closing in [closed_from, closed_to)."""

    record: Conversation | Malformed | UnreadableRecord
    closed_from: datetime
    closed_to: datetime


@dataclass(frozen=True, slots=True)
class DoubtfulClosing:
    """A closing that cannot be judged yet, with the row that it becomes if that never changes."""

    settled: Interaction
    closed_to: datetime
    was_tried: bool = True

    def as_deferred(self) -> DeferredReading:
        """Return the reading that later runs try again."""
        row = self.settled
        tries = int(self.was_tried)
        return DeferredReading(row.closed_at, self.closed_to, row.detail or "", row.conversation_id, tries=tries)


class Extraction:
    """Reads, joins, judges and records closings, window by window, and counts them.

    What cannot be read yet becomes a deferred reading of the ledger.
    """

    def __init__(self, kustomer: KustomerHook, settings: Settings, store: ExtractionStore, by: Actor) -> None:
        self.kustomer = kustomer
        self.settings = settings
        self.store = store
        self.by = by
        self.planner = make_planner(kustomer, settings)
        self.people = KustomerPeople(kustomer, self.planner.names.lists.get("tag", {}))
        self.masking = MaskingCheck()
        self._counts: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def read_span(self, closed_from: datetime, closed_to: datetime) -> list[DeferredReading]:
        """Record every closing of the span; returns those parts of it that did not come whole.

        Memory depends on one window of the search, not on the span. While one window is judged the next is read:
        Kustomer's limit makes us wait in any case.
        """
        search = ClosingsSearch(
            self.kustomer,
            read_conversation=_read_record,
            read_customer=read_customer,
            any_status=self.settings.on_reopen == "keep",
        )
        incomplete = []
        with collect_garbage_seldom(), closing(read_ahead(search.windows(closed_from, closed_to))) as windows:
            for window in windows:
                if problem := self._describe_doubt(window):
                    incomplete.append(DeferredReading(window.closed_from, window.closed_to, problem))
                bounds = window.closed_from, window.closed_to
                interactions, doubtful = self._judge(
                    [Candidate(record, *bounds) for record in window.conversations], window.customers
                )
                self._record(interactions)
                self._defer([doubt.as_deferred() for doubt in doubtful])
        return incomplete

    def read_closings(self, readings: Sequence[DeferredReading], now: datetime) -> None:
        """Read single closings again; settle as malformed what was tried for long enough."""
        by_id = {reading.conversation_id: reading for reading in readings if reading.conversation_id is not None}
        found = self.kustomer.read_conversations(list(by_id))
        interactions, doubtful = self._judge(
            [
                Candidate(_read_record({"id": id_, **record}), by_id[id_].closed_from, by_id[id_].closed_to)
                for id_, record in found.items()
            ]
        )
        open_still = []
        for doubt in doubtful:
            if doubt.was_tried and is_exhausted(by_id[doubt.settled.conversation_id], now):
                interactions.append(doubt.settled)
            else:
                open_still.append(doubt.as_deferred())
        self._record(interactions)
        self._defer(open_still)
        # Recorded, deleted, or not a closing any more: nothing is in doubt about the rest.
        open_ids = {reading.conversation_id for reading in open_still}
        self.store.drop_deferred([reading for id_, reading in by_id.items() if id_ not in open_ids])

    def judge_again(self, closings: Sequence[tuple[str, datetime]]) -> list[Interaction]:
        """Read these closings (conversation id, closing time) and their people again, and judge them.

        Records nothing. Missing in the result: what cannot be read, or is not closed at that time any more.
        """
        closed_at = dict(closings)
        found = self.kustomer.read_conversations(list(closed_at))
        interactions, _ = self._judge(
            [
                Candidate(_read_record({"id": id_, **record}), closed_at[id_], closed_at[id_] + MILLISECOND)
                for id_, record in found.items()
            ]
        )
        return interactions

    def facts(self) -> dict[str, Any]:
        """Counts for XCom, log and report."""
        names = ("found", "planned", "known", "superseded", "not_closings", "unreadable", "unknown_tags", "short")
        skipped = {str(reason): number for reason, number in self._skipped.items()}
        counts = {name: self._counts[name] for name in (*names, "deferred")}
        return counts | {"skipped": skipped}

    def warn_about_unseen_attribute(self) -> None:
        """Warn if no conversation of the run carries the do-not-send attribute that the settings name."""
        name = self.settings.do_not_send_attribute
        if name is not None and self._counts["found"] and not self._counts["with_attribute"]:
            log.warning(
                "None of the %d conversations carries the custom attribute %r, which do_not_send_attribute names. "
                "If customers can opt out, check its spelling: opt-outs under another name are not obeyed.",
                self._counts["found"],
                name,
            )

    def _note_attribute(self, conversations: Sequence[Conversation]) -> None:
        name = self.settings.do_not_send_attribute
        self._counts["with_attribute"] += sum(name in (record.custom or {}) for record in conversations)

    def _describe_doubt(self, window: SearchWindow[Any, Any]) -> str | None:
        self._counts["short"] += window.short_by
        if window.fault is not None:
            return f"search: {window.fault}"
        return f"{window.short_by} rows counted, not returned" if window.short_by else None

    def _judge(
        self, candidates: Sequence[Candidate], found: Collection[Customer | None] = ()
    ) -> tuple[list[Interaction], list[DoubtfulClosing]]:
        """Judge each record once, after its people were read; `found` are customers whom the search returned."""
        closings, doubtful = self._select_closings(candidates)
        conversations = [record for record in closings if isinstance(record, Conversation)]
        customers: Mapping[str, Customer | None] = {}
        if conversations:
            self._counts["unknown_tags"] += self.people.read_users_and_tags(conversations)
            customers = self.people.read_customers(conversations, found)
            self.masking.check(customers.values())
            self._note_attribute(conversations)
        interactions = []
        for record in closings:
            customer_id = record.customer_id if isinstance(record, Conversation) else None
            customer = customers.get(customer_id or "")
            interaction = self._judge_closing(record, customer)
            if isinstance(record, Conversation) and (fault := self.people.find_fault(record, customers)):
                settled = replace(
                    interaction, skip=Reason.MALFORMED_RECORD, detail=fault.words, customer_id=customer_id
                )
                doubtful.append(DoubtfulClosing(settled, interaction.closed_at + MILLISECOND, fault.was_asked))
            else:
                interactions.append(interaction)
        return interactions, doubtful

    def _judge_closing(self, record: Conversation | Malformed, customer: Customer | None) -> Interaction:
        interaction = judge(record, customer, self.people.users, self.people.tag_names, self.settings)
        if interaction.skip is not None or isinstance(record, Malformed) or customer is None:
            return interaction
        return self.planner.settle(interaction, record, customer, self.people.users, datetime.now(UTC))

    def _select_closings(
        self, candidates: Sequence[Candidate]
    ) -> tuple[list[Conversation | Malformed], list[DoubtfulClosing]]:
        """Select the closings among the records, and the records that may be unreadable closings."""
        any_status = self.settings.on_reopen == "keep"
        closings: list[Conversation | Malformed] = []
        doubtful: list[DoubtfulClosing] = []
        for candidate in candidates:
            record, bounds = candidate.record, (candidate.closed_from, candidate.closed_to)
            doubt: str | None
            if isinstance(record, UnreadableRecord):
                doubt = "conversation could not be read"
            elif is_closing(record, *bounds, any_status=any_status):
                closings.append(record)
                continue
            else:
                doubt = doubt_of(record, *bounds)
            if doubt is None:
                self._counts["not_closings"] += 1
            elif record.id is None:
                self._counts["unreadable"] += 1
            else:
                doubtful.append(self._unidentified(record.id, candidate, doubt))
        self._counts["found"] += len(closings)
        return closings, doubtful

    def _unidentified(self, conversation_id: str, candidate: Candidate, doubt: str) -> DoubtfulClosing:
        due_at = candidate.closed_from + timedelta(seconds=self.settings.seconds_until_send)
        row = Interaction(conversation_id, candidate.closed_from, due_at, Reason.MALFORMED_RECORD, doubt)
        return DoubtfulClosing(row, candidate.closed_to)

    def _record(self, interactions: Sequence[Interaction]) -> None:
        recorded = self.store.record_closings(interactions, by=self.by)
        self._counts.update(planned=recorded.planned, known=recorded.known, superseded=recorded.superseded)
        self._skipped.update(recorded.skipped)

    def _defer(self, readings: Sequence[DeferredReading]) -> None:
        self._counts["deferred"] += self.store.defer(readings)


@contextmanager
def collect_garbage_seldom() -> Iterator[None]:
    """Let the garbage collector run rarely: it costs 30 % of the CPU, and the task has its process to itself."""
    usual = gc.get_threshold()
    gc.set_threshold(GARBAGE_FACTOR * usual[0], *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _read_record(record: Mapping[str, Any]) -> Conversation | Malformed | UnreadableRecord:
    return read_conversation(record) or UnreadableRecord(id_of(dict(record)))
