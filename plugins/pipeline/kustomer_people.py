"""Who closed a conversation and for whom: users, tags and customers, read from Kustomer once a run.

A person who cannot be read costs only their own closings. If Kustomer fails at a person who is known to exist as
well, it is an outage: it ends the try and says nothing about anybody.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.interactions.addresses import usable
from include.interactions.eligibility import agent_of, people_at_closing
from include.interactions.records import Conversation, Customer, User, read_customer
from plugins.kustomer.by_id import may_concern_one_record
from plugins.kustomer.hook import KustomerHook
from plugins.kustomer.search import describe_fault
from plugins.vendor_api.errors import BrokenAnswer, VendorApiError

log = logging.getLogger(__name__)

NOBODY = "0" * 24
"""An id that no customer has: Kustomer's 404 for it shows that customers can be read."""
ATTEMPTS = 2
"""A person is tried this often a run: later runs read again, and what is due must not wait."""
MAX_SECONDS_OF_FAILURES = 120.0
"""After so much time lost on people who cannot be read, the rest is left to the next run."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a person cannot be read; `was_asked` is False if there was no time left to try."""

    words: str
    was_asked: bool = True


class KustomerPeople:
    """Users, tags and customers as far as this run has needed them.

    Attributes:
        users: by id; one whom Kustomer does not know is a user without an address.
        tag_names: by id.
    """

    def __init__(self, kustomer: KustomerHook, tag_names: Mapping[str, str] | None = None) -> None:
        self.kustomer = kustomer
        self.users: dict[str, User] = {}
        self.tag_names = dict(tag_names or {})
        self._faults: dict[str, Fault] = {}
        """Ids of users and customers who cannot be read, with what to say about it."""
        self._known_customer: str | None = None
        self._has_checked_absence = False
        self._seconds_of_failures = 0.0

    def read_users_and_tags(self, conversations: Sequence[Conversation]) -> int:
        """Read whom and what these conversations name; returns how many tags Kustomer does not know."""
        if not self.users:
            self.users = _readable_users(self.kustomer.list_users())
        named = {user_id for record in conversations for user_id in people_at_closing(record)}
        if missing := sorted(named - self.users.keys() - self._faults.keys()):
            self._read_users_by_id(missing)
        tag_ids = {tag for record in conversations for tag in record.tag_ids}
        if tag_ids and not self.tag_names:
            self.tag_names = self.kustomer.list_tags()
        return len(tag_ids - self.tag_names.keys())

    def read_customers(
        self, conversations: Iterable[Conversation], found: Collection[Customer | None]
    ) -> dict[str, Customer | None]:
        """The customers of these conversations by id, None if Kustomer has none; unreadable ones are missing.

        Those whom the search did not return are read one by one, if anything depends on them.
        """
        customers: dict[str, Customer | None] = {customer.id: customer for customer in found if customer}
        self._known_customer = next(iter(customers), self._known_customer)
        for record in conversations:
            customer_id = record.customer_id
            if customer_id is None or customer_id in customers or customer_id in self._faults:
                continue
            if self._has_agent(record):
                self._read_customer(customer_id, customers)
        return customers

    def find_fault(self, record: Conversation, customers: Mapping[str, Customer | None]) -> Fault | None:
        """What could not be read although this closing depends on it; None if it can be judged."""
        if record.merged_away:
            return None
        agent = agent_of(record, self.users)
        if agent is not None and agent.id in self._faults:
            return self._faults[agent.id]
        if record.customer_id is None or record.customer_id in customers or not self._has_agent(record):
            return None
        return self._faults.get(record.customer_id)

    def _has_agent(self, record: Conversation) -> bool:
        agent = agent_of(record, self.users)
        return not record.merged_away and agent is not None and usable(agent.email) is not None

    def _read_users_by_id(self, missing: list[str]) -> None:
        known = next(iter(self.users), None)
        result = self.kustomer.read_users([*missing, *([known] if known else [])])  # the known one shows an outage
        for user_id, error in result.unreadable.items():
            self._note_fault("agent", user_id, error)
        self.users |= _readable_users(result.found.values())
        # A user whom Kustomer does not know stays one without an address.
        absent = set(missing) - self.users.keys() - self._faults.keys()
        self.users |= {user_id: User(id=user_id) for user_id in absent}

    def _read_customer(self, customer_id: str, customers: dict[str, Customer | None]) -> None:
        if self._seconds_of_failures > MAX_SECONDS_OF_FAILURES:
            self._faults[customer_id] = Fault("customer not asked in this run", was_asked=False)
            return
        began = time.monotonic()
        try:
            record = self.kustomer.read_customer(customer_id, attempts=ATTEMPTS)
        except VendorApiError as error:
            if not may_concern_one_record(error):
                raise
            self._check_that_customers_can_be_read(error)
            self._seconds_of_failures += time.monotonic() - began
            self._note_fault("customer", customer_id, error)
            return
        if record is None and not self._has_checked_absence:
            self._check_that_absence_is_credible()
        customers[customer_id] = None if record is None else read_customer(record)

    def _check_that_customers_can_be_read(self, error: VendorApiError) -> None:
        """Raise `error` if Kustomer fails at another customer, too."""
        try:
            self.kustomer.read_customer(self._known_customer or NOBODY, attempts=ATTEMPTS)
        except VendorApiError:
            raise error from None

    def _check_that_absence_is_credible(self) -> None:
        """Raise if Kustomer denies a customer whom its own search has just returned."""
        self._has_checked_absence = True
        if self._known_customer and self.kustomer.read_customer(self._known_customer) is None:
            raise BrokenAnswer(
                f"{self.kustomer.conn_id}: GET /v1/customers/{{id}} answers 404 for a customer whom the search "
                f"returned. Nothing follows from it; check the connection's host."
            )

    def _note_fault(self, role: str, person_id: str, error: VendorApiError) -> None:
        log.warning("%s The %s %s cannot be read.", error, role, person_id)
        self._faults[person_id] = Fault(f"{role} could not be read: {describe_fault(error)}")


def _readable_users(records: Iterable[Mapping[str, Any]]) -> dict[str, User]:
    users = {}
    for record in records:
        try:
            user = User.model_validate(record)
        except ValueError:
            continue
        users[user.id] = user
    return users
