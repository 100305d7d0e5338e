"""Extraction: closed conversations become rows of the interaction ledger."""

import gc
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from include.interactions.eligibility import doubt_of, is_closing, judge, people_at_closing
from include.interactions.interaction import Interaction
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Customer, Malformed, User, read_conversation, read_customer
from include.interactions.settings import Settings
from include.interactions.span import Span
from include.interactions.survey_plan import SurveyPlanner
from include.ledger import Recorded
from plugins.kustomer.hook import KustomerHook
from plugins.kustomer.search import ClosingsSearch
from plugins.pipeline.ahead import one_ahead
from plugins.vendor_api.errors import KeyFault, RateLimited, VendorApiError

LONGEST_DOUBT = timedelta(days=1)
"""For so long the runs look again for what Kustomer counts or names, and does not give."""
DOUBT_OF_AN_AGENT = timedelta(hours=6)
"""The same for agents: each of their closings holds the watermark anew, and they close some every hour."""


def whole_enough(span: Span, short: int) -> bool:
    """Whether the span counts as read: nothing is missing, or it has been read again for a day without more.

    Rows that the search counts and never returns keep the watermark where it is, so that the next runs look
    again; for a day, since an index that counts wrongly for good would make every run longer than the last.
    """
    return short == 0 or span.closed_to - span.closed_from > LONGEST_DOUBT


class Extraction:
    """One pass over a span of closings: reads, joins and judges them, window by window, and counts.

    Args:
        kustomer: where to read.
        settings: of the run.
        planner: what the settings make of an eligible closing; None if the settings mention no names.
        is_recorded: whether the ledger holds a closing, so that nothing of it is in doubt any more.
        last_try_at: a closing long before it is skipped if its customer or agent cannot be read; None: none is.

    Attributes:
        unread: customers and agents who could not be read, by id, each with the earliest closing that is not
            recorded for that.
    """

    def __init__(
        self,
        kustomer: KustomerHook,
        settings: Settings,
        planner: SurveyPlanner | None = None,
        *,
        is_recorded: Callable[[Interaction], bool] = lambda _: False,
        last_try_at: datetime | None = None,
    ) -> None:
        self.kustomer = kustomer
        self.settings = settings
        self.planner = planner or SurveyPlanner(settings)
        self.is_recorded = is_recorded
        self.last_try_at = last_try_at
        self.users: dict[str, User] = {}
        self.tag_names: dict[str, str] = dict(self.planner.names.lists.get("tag", {}))
        self.unread: dict[str, datetime] = {}
        self._unreadable: dict[str, str | None] = {}
        self._counts: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def interactions(self, span: Span) -> Generator[list[Interaction]]:
        """The judged closings of the span, one list per window of the search, so that memory stays bounded."""
        search = ClosingsSearch(self.kustomer, read_conversation=read_conversation, read_customer=read_customer)
        windows = search.windows(span.closed_from, span.closed_to)
        # Kustomer's limit makes us wait, whatever we do meanwhile.
        with _collected_seldom(), closing(one_ahead(windows)) as searched:
            for window in searched:
                self._counts["short"] += window.short_by + (window.fault is not None)
                closings = []
                for record in window.conversations:
                    if record is None or doubt_of(record, span.closed_from, span.closed_to):
                        self._counts["unreadable"] += 1
                    elif is_closing(record, span.closed_from, span.closed_to):
                        closings.append(record)
                    else:
                        self._counts["not_closings"] += 1
                self._counts["found"] += len(closings)
                if closings:
                    self._learn_users_and_tags(closings)
                    customers = {customer.id: customer for customer in window.customers if customer}
                    yield [i for record in closings if (i := self._judged(record, customers)) is not None]

    def count(self, recorded: Recorded) -> None:
        """Add what the ledger made of one list."""
        self._counts.update(planned=recorded.planned, known=recorded.known, superseded=recorded.superseded)
        self._skipped.update(recorded.skipped)

    def facts(self) -> dict[str, Any]:
        """Counts for XCom, log and report."""
        names = ("found", "planned", "known", "superseded", "not_closings", "unreadable", "unknown_tags", "short")
        skipped = {str(reason): number for reason, number in self._skipped.items()}
        counts = {name: self._counts[name] for name in names}
        return counts | {"people_unread": len(self.unread), "skipped": skipped}

    def _judged(self, record: Conversation | Malformed, customers: dict[str, Customer]) -> Interaction | None:
        """The interaction, or None if the person whom it depends on could not be read this time."""
        customer_id = record.customer_id if isinstance(record, Conversation) else None
        customer = customers.get(customer_id or "")
        interaction = self._judge(record, customer)
        if interaction.skip is Reason.AGENT_WITHOUT_EMAIL and interaction.agent_id in self._unreadable:
            return self._doubtful(interaction, interaction.agent_id, DOUBT_OF_AN_AGENT)
        if interaction.skip is not Reason.NO_CUSTOMER_EMAIL or customer is not None or customer_id is None:
            return interaction
        # Only the customer stands between this closing and its survey, and the search did not return it.
        if customer_id not in self._unreadable:
            try:
                found = self.kustomer.read_customer(customer_id)
            except KeyFault:
                raise
            except VendorApiError as error:
                self._cannot_read("customer", customer_id, error)
            else:
                customer = read_customer(found) if found else None
                if customer is not None:
                    customers[customer_id] = customer
                return self._judge(record, customer)
        return self._doubtful(replace(interaction, customer_id=customer_id), customer_id, LONGEST_DOUBT)

    def _judge(self, record: Conversation | Malformed, customer: Customer | None) -> Interaction:
        interaction = judge(record, customer, self.users, self.tag_names, self.settings)
        if interaction.skip is not None or isinstance(record, Malformed) or customer is None:
            return interaction
        return self.planner.settle(interaction, record, customer, self.users, datetime.now(UTC))

    def _cannot_read(self, role: str, person_id: str, error: VendorApiError) -> None:
        """Remember who cannot be read; a second one without a definite answer is an outage: raises the error."""
        definite = error.status is not None and not isinstance(error, RateLimited)
        if not definite and None in self._unreadable.values():
            raise error
        self.kustomer.log.warning("%s %s: %s", role, person_id, error)
        self._unreadable[person_id] = f"{role} could not be read: HTTP {error.status}" if definite else None

    def _doubtful(self, interaction: Interaction, person_id: str, longest: timedelta) -> Interaction | None:
        """A closing whose customer or agent cannot be read: None for now, in the end a row with the reason."""
        closed_at, detail = interaction.closed_at, self._unreadable[person_id]
        if self.is_recorded(interaction):
            return interaction
        if detail is None or self.last_try_at is None or closed_at >= self.last_try_at - longest:
            self.unread[person_id] = min(closed_at, self.unread.get(person_id, closed_at))
            return None
        return replace(interaction, skip=Reason.MALFORMED_RECORD, detail=detail)

    def _learn_users_and_tags(self, closings: Sequence[Conversation | Malformed]) -> None:
        conversations = [record for record in closings if isinstance(record, Conversation)]
        if not self.users:
            self.users = _users(self.kustomer.list_users())
        people = {user_id for record in conversations for user_id in people_at_closing(record)}
        if missing := people - self.users.keys() - self._unreadable.keys():
            self.users |= self._users_by_id(sorted(missing))
            # Asked once; a user Kustomer does not know stays one without an address.
            unknown = missing - self.users.keys() - self._unreadable.keys()
            self.users |= {user_id: User(id=user_id) for user_id in unknown}
        tag_ids = {tag for record in conversations for tag in record.tag_ids}
        if tag_ids and not self.tag_names:
            self.tag_names = self.kustomer.list_tags()
        self._counts["unknown_tags"] += len(tag_ids - self.tag_names.keys())

    def _users_by_id(self, ids: Sequence[str]) -> dict[str, User]:
        """Users whom the list of users does not hold; one at whom Kustomer fails keeps no other from being read."""
        known = next(iter(self.users), None)  # shows whether the call works at all
        result = self.kustomer.read_users([*ids, *([known] if known else [])])
        for user_id, error in result.unreadable.items():
            self._cannot_read("agent", user_id, error)
        return _users(result.found.values())


@contextmanager
def _collected_seldom() -> Iterator[None]:
    """Let the garbage collector look a hundredth as often as usual.

    Records hold no cycles; to search the thousands that are alive for some took a third of the whole time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(100 * usual[0], *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _users(records: Iterable[Mapping[str, Any]]) -> dict[str, User]:
    users = {}
    for record in records:
        try:
            user = User.model_validate(record)
        except ValueError:
            continue
        users[user.id] = user
    return users
