"""The users, tags and customers of conversations, read from Kustomer once a run.

A person who cannot be read delays only their own closings. If Kustomer also fails for a person who is known to
exist, it is an outage: the attempt ends, and nothing follows for anyone.
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
"""An id that no customer has. Kustomer's 404 for it shows that customers can be read."""
ATTEMPTS = 2
"""Attempts per person and run: later runs read again, and due interactions must not wait."""
MAX_SECONDS_OF_FAILURES = 120.0
"""After this time spent on unreadable people, the next run reads the rest."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a person cannot be read; `was_asked` is False if there was no time left to try."""

    words: str
    was_asked: bool = True


class KustomerPeople:
    """The users, tags and customers that this run has needed so far.

    Attributes:
        users: by id; a user unknown to Kustomer has no address.
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
        """Read the users and tags of these conversations; return how many tags Kustomer does not know."""
        if not self.users:
            self.users = readable_users(self.kustomer.list_users())
        named = {user_id for record in conversations for user_id in people_at_closing(record)}
        if missing := sorted(named - self.users.keys() - self._faults.keys()):
            self._read_users_by_id(missing)
        tag_ids = {tag for record in conversations for tag in record.tag_ids}
        if tag_ids and not self.tag_names:
            self.tag_names = self.kustomer.list_names("tag")
        return len(tag_ids - self.tag_names.keys())

    def read_customers(
        self, conversations: Iterable[Conversation], found: Collection[Customer | None]
    ) -> dict[str, Customer | None]:
        """Return the customers of these conversations by id: None if unknown to Kustomer, missing if unreadable.

        Customers that the search did not return are read one by one, if a closing depends on them.
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
        """Return why this closing cannot be judged yet; None if it can."""
        if record.merged_away or not self._faults:
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
        if result.missing and not result.found and (known is None or known in result.missing):
            raise self._not_credible("user", "list")
        for user_id, error in result.unreadable.items():
            self._note_fault("agent", user_id, error)
        self.users |= readable_users(result.found.values())
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
        """Raise `error` if Kustomer also fails for another customer."""
        try:
            self.kustomer.read_customer(self._known_customer or NOBODY, attempts=ATTEMPTS)
        except VendorApiError:
            raise error from None

    def _check_that_absence_is_credible(self) -> None:
        """Raise if Kustomer answers 404 for a customer that its own search has just returned."""
        self._has_checked_absence = True
        if self._known_customer and self.kustomer.read_customer(self._known_customer) is None:
            raise self._not_credible("customer", "search")

    def _not_credible(self, person: str, source: str) -> BrokenAnswer:
        return BrokenAnswer(
            f"{self.kustomer.conn_id}: GET /v1/{person}s/{{id}} answers 404 for a {person} that the {source} "
            f"returned. It proves nothing; check the connection's host."
        )

    def _note_fault(self, role: str, person_id: str, error: VendorApiError) -> None:
        log.warning("%s The %s %s cannot be read.", error, role, person_id)
        self._faults[person_id] = Fault(f"{role} could not be read: {describe_fault(error)}")


def readable_users(records: Iterable[Mapping[str, Any]]) -> dict[str, User]:
    """Return by id the users that can be read."""
    users = {}
    for record in records:
        try:
            user = User.model_validate(record)
        except ValueError:
            continue
        users[user.id] = user
    return users
