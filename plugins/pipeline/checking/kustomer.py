"""Look at Kustomer: the key, the search, reads by id, people, and what rules can use."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from include.interactions.addresses import are_all_masked, has_any, usable
from include.interactions.eligibility import people_at_closing
from include.interactions.opt_out import obeyed_attributes, read_opt_out
from include.interactions.records import (
    MERGED_MARKS,
    Conversation,
    read_conversation,
    read_customer,
)
from include.interactions.settings import Settings
from include.interactions.utc import MILLISECOND
from include.interactions.vendor_check import kustomer as judge
from include.interactions.vendor_check.findings import Finding, Light, Unread
from include.interactions.vendor_check.kustomer import IdsSeen, KeySeen, Look
from include.interactions.vendor_check.usage import KINDS, describe_usage
from plugins.kustomer.api import id_of
from plugins.kustomer.by_id import Record
from plugins.kustomer.hook import PAGE_SIZE, SearchPage
from plugins.kustomer.looking import KustomerLook
from plugins.pipeline.checking.asking import Asker
from plugins.pipeline.kustomer_people import NOBODY, readable_users

MAX_LOOK_PAGES = 4
ENOUGH = 50
"""Closings for a sample; with fewer the sample reaches further back."""
SPANS = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
MAX_LISTED, MAX_SINGLE = 100, 3


class KustomerCheck:
    """One check. `begin` makes all calls but the second look, which `end` makes.

    Attributes:
        findings: what was found so far.
        agents: addresses of the agents of the sampled closings.
    """

    def __init__(self, kustomer: KustomerLook, settings: Settings, served_id: str | None, asker: Asker) -> None:
        self.kustomer = kustomer
        self.settings = settings
        self.served_id = served_id
        self.ask = asker.ask
        self.findings: list[Finding] = []
        self.agents: list[str] = []
        self._overlap = timedelta(seconds=settings.overlap_seconds)
        self._first: Look | None = None
        self._records: list[Record] = []
        self._total, self._is_whole = 0, True
        self._sample: list[Conversation] = []
        self._span = (datetime.now(UTC), datetime.now(UTC))

    def begin(self) -> bool:
        """Look at everything; return False if Kustomer refuses the key or does not answer."""
        if not self._look_at_key():
            return False
        self._look_first()
        self._look_at_search()
        self._look_at_sample()
        self._look_at_ids()
        self._look_at_users()
        self._look_at_customers()
        self._look_at_usage()
        return True

    def end(self) -> None:
        """Look at the newest closings again."""
        if self._first is None:
            return
        second = self._look(self._first.at - self._overlap - timedelta(hours=1))
        if second is not None:
            self.findings += judge.judge_lag(self._first, second[0], self._overlap)

    def _look_at_key(self) -> bool:
        lacking = self.ask(self.kustomer.list_lacking_roles)
        if isinstance(lacking, Unread):
            meaning = "Put a valid key into the password of the connection. Nothing else could be read."
            self.findings.append(
                Finding("Kustomer", "API key", Light.RED, f"no usable answer: {lacking.why}", meaning)
            )
            return False
        self.findings.append(Finding("Kustomer", "API key", Light.GREEN, "accepted", "Nothing to do."))
        organisation = self.ask(self.kustomer.read_organisation_id)
        asked_at = self.kustomer.asked_at
        needed, further = lacking or (None, ())
        self.findings += judge.judge_key(
            KeySeen(
                host=urlsplit(self.kustomer.settings.base_url).hostname or "",
                lacking=needed,
                lacking_for_names=further,
                organisation_id=None if isinstance(organisation, Unread) else organisation,
                served_id=self.served_id,
                behind=asked_at - datetime.now(UTC) if asked_at else None,
            )
        )
        return True

    def _look_first(self) -> None:
        """Take the first look, and a sample that reaches as far back as is needed for enough closings."""
        now = datetime.now(UTC)
        start = now - self._overlap - timedelta(hours=1)
        found = self._look(start)
        if found is None:
            return
        self._first, self._records, self._total = found
        self._is_whole = self._first.is_whole
        self._span = (start, now)
        for span in SPANS:
            if len(self._records) >= ENOUGH:
                break
            page = self.ask(partial(self._first_page, now - span, now))
            if isinstance(page, SearchPage):
                self._records, self._total, self._span = page.records, page.total, (now - span, now)
                self._is_whole = page.total <= PAGE_SIZE
        read = [read_conversation(record) for record in self._records]
        conversations = [record for record in read if isinstance(record, Conversation)]
        self._sample = [record for record in conversations if not record.deleted and not record.spam]

    def _look(self, start: datetime) -> tuple[Look, list[Record], int] | None:
        """Return the closings since then, their records, and the total; None without an answer."""
        at = datetime.now(UTC)
        pages = self.ask(lambda: list(islice(self.kustomer.search("conversation", start, at), MAX_LOOK_PAGES)))
        if isinstance(pages, Unread):
            return None
        records = [record for page in pages for record in page.records]
        closings, changed = {}, {}
        for record in records:
            conversation = read_conversation(record)
            if conversation is not None and conversation.closed_at is not None:
                closings[conversation.id] = conversation.closed_at
                changed[conversation.id] = _updated_at(record) or at
        ids = {id_of(record) for record in records}
        total = pages[0].total
        return Look(at, closings, changed, len(ids) >= total or len(pages) < MAX_LOOK_PAGES), records, total

    def _first_page(self, start: datetime, end: datetime, **options: bool) -> SearchPage:
        return next(self.kustomer.search("conversation", start, end, **options))

    def _look_at_search(self) -> None:
        start, end = self._span
        tried: dict[str, Callable[[], object]] = {
            "status and time": lambda: self._first_page(start, end),
            "time alone": lambda: self._first_page(start, end, any_status=True),
            "customers": lambda: next(self.kustomer.search("customer", start, end)),
        }
        answers = {name: self.ask(call) for name, call in tried.items()}
        faults = {name: answer if isinstance(answer, Unread) else None for name, answer in answers.items()}
        self.findings.append(judge.judge_criteria(faults))
        rows = len({id_of(record) for record in self._records})
        self.findings.append(judge.judge_total(self._total if self._is_whole else None, rows))
        updated = [moment for record in self._records if (moment := _updated_at(record))]
        self.findings.append(judge.judge_order(updated))
        inside, after = [], []
        for conversation in self._sample[:MAX_SINGLE]:
            if conversation.closed_at is not None and not conversation.closed_within:
                inside.append(self._is_found(conversation.id, conversation.closed_at))
                after.append(self._is_found(conversation.id, conversation.closed_at + MILLISECOND))
        if None not in (*inside, *after):
            self.findings.append(judge.judge_bounds(list(map(bool, inside)), list(map(bool, after))))

    def _is_found(self, conversation_id: str, at: datetime) -> bool | None:
        # In any status, because it may be reopened in this moment.
        page = self.ask(lambda: self._first_page(at, at + MILLISECOND, any_status=True))
        return None if isinstance(page, Unread) else conversation_id in map(id_of, page.records)

    def _look_at_sample(self) -> None:
        at_closing = sum(bool(conversation.assigned_at_close) for conversation in self._sample)
        now = sum(bool(conversation.assigned_now) for conversation in self._sample)
        self.findings.append(judge.judge_assignees(at_closing, now, len(self._sample)))
        unknown = {name for record in self._records for name in _merge_names(record)} - {
            *MERGED_MARKS,
            "mergedTarget",
        }
        known = sum(conversation.merged_away for conversation in self._sample)
        survivors = sum("mergedTarget" in _merge_names(record) for record in self._records)
        self.findings.append(judge.judge_merged(known, unknown, survivors))
        attribute = self.settings.do_not_send_attribute
        given = [conversation for conversation in self._sample if _has_opt_out(conversation, attribute)]
        masked = sum(conversation.opt_out(attribute) == "masked" for conversation in self._sample)
        self.findings.append(
            judge.judge_opt_outs(
                ", ".join(obeyed_attributes(attribute)),
                sum(conversation.opt_out(attribute) != "masked" for conversation in given),
                masked,
            )
        )

    def _look_at_ids(self) -> None:
        ids = [conversation.id for conversation in self._sample[:MAX_LISTED]]
        listed = self.ask(lambda: self.kustomer.list_conversations_once(ids)) if ids else {}
        found = {} if isinstance(listed, Unread) else listed
        left_out = [id_ for id_ in ids if id_ not in found][:MAX_SINGLE]
        alone = [self.kustomer.status_of(id_)[0] == 200 for id_ in left_out]
        mixed = self.ask(lambda: bool(self.kustomer.list_conversations_once([*ids[:1], NOBODY])))
        unknown, _ = self.kustomer.status_of(NOBODY)
        self.findings += judge.judge_ids(
            IdsSeen(
                asked=len(ids),
                found=sum(id_ in found for id_ in ids),
                found_alone=sum(alone) if alone else None,
                tried_alone=len(alone),
                with_unknown=mixed,
                unknown=unknown,
            )
        )
        page = self.ask(lambda: self._first_page(*self._span, include_deleted=True))
        records = [] if isinstance(page, Unread) else page.records
        deleted = [
            id_of(row) for row in records if (read := read_conversation(row)) and getattr(read, "deleted", False)
        ]
        answers = [self._answer_for_deleted(id_) for id_ in deleted[:MAX_SINGLE] if id_]
        self.findings.append(judge.judge_deleted(answers))

    def _answer_for_deleted(self, conversation_id: str) -> str:
        status, record = self.kustomer.status_of(conversation_id)
        if status != 200:
            return "no answer" if status is None else str(status)
        read = read_conversation(record)
        return "marked" if isinstance(read, Conversation) and read.deleted else "unmarked"

    def _look_at_users(self) -> None:
        ids = {user_id for conversation in self._sample for user_id in people_at_closing(conversation)}
        users = self.ask(lambda: self.kustomer.list_users_where(deleted=False))
        gone = self.ask(lambda: self.kustomer.list_users_where(deleted=True))
        if isinstance(users, Unread) or isinstance(gone, Unread):
            return
        known = users | gone
        if missing := sorted(ids - known.keys()):
            by_id = self.ask(lambda: self.kustomer.read_users(missing).found)
            known |= {} if isinstance(by_id, Unread) else by_id
        found = ids & known.keys()
        self.findings.append(judge.judge_users(len(users), len(gone.keys() - users.keys()), len(ids), len(found)))
        people = readable_users(known[id_] for id_ in found).values()
        self.agents = sorted({address for user in people if user.is_person and (address := usable(user.email))})

    def _look_at_customers(self) -> None:
        wanted = {conversation.customer_id for conversation in self._sample if conversation.customer_id}
        pages = self.ask(lambda: list(islice(self.kustomer.search("customer", *self._span), MAX_LOOK_PAGES)))
        rows = [] if isinstance(pages, Unread) else [row for page in pages for row in page.records]
        ours = {str(id_of(row)): row for row in rows if id_of(row) in wanted}
        others = len({id_of(row) for row in rows}) - len(ours)
        self.findings.append(judge.judge_customers(len(wanted), len(ours), others))
        if not ours:
            for customer_id in sorted(wanted)[: judge.MIN_EVIDENCE]:
                row = self.ask(partial(self.kustomer.read_customer, customer_id))
                if row is not None and not isinstance(row, Unread):
                    ours[customer_id] = row
        customers = [customer for row in ours.values() if (customer := read_customer(row)) and has_any(customer)]
        masked = sum(map(are_all_masked, customers))
        self.findings.append(judge.judge_addresses(len(customers) - masked, masked))

    def _look_at_usage(self) -> None:
        names = {kind: self.ask(partial(self.kustomer.list_names, kind)) for kind in KINDS}
        self.findings += describe_usage(self._sample, names)


def _updated_at(record: Record) -> datetime | None:
    attributes = record.get("attributes")
    text = attributes.get("updatedAt") if isinstance(attributes, Mapping) else None
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _merge_names(record: Record) -> Iterator[str]:
    """Yield the names of everything about a merge that has a value."""
    for part in ("attributes", "relationships"):
        values: Any = record.get(part)
        for name, value in values.items() if isinstance(values, Mapping) else ():
            if "merge" in name.casefold() and (value.get("data") if isinstance(value, Mapping) else value):
                yield name


def _has_opt_out(conversation: Conversation, configured: str | None) -> bool:
    custom = conversation.custom or {}
    names = obeyed_attributes(configured)
    return any(custom.get(name) is not None for name in names) and read_opt_out(custom, configured) is not None
