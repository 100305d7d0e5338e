"""The table of interactions: search, filter, sort, page; and everything filtered, for an export."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from include.interactions.states import Reason, State
from include.ledger.reports.paging import Page
from include.ledger.reports.people import Agent, Customer


class Sort(StrEnum):
    """What the table can be sorted by. Ties are broken by the closing, then by the row id; all of it either way.

    Rows without a value (not sent; no agent) come last in both directions.
    """

    CLOSED_AT = "closed_at"
    DUE_AT = "due_at"
    SENT_AT = "sent_at"
    STATE = "state"
    """In the order of an interaction's life: `State`, from planned to skipped."""
    AGENT = "agent"
    """By the agent's name as last seen, else the address; capitals do not count."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What has to hold of an interaction to be shown; everything left out shows all.

    `text` finds interactions whose conversation id or customer id is exactly the text, those whose customer's
    e-mail begins with it, and those of agents whose name or e-mail contains it. Capitals do not count in names and
    e-mails, blanks around it are cut, and a link into Kustomer counts as the conversation it leads to. Names and
    e-mails take three characters and more. Every character stands for itself: % and _ are nothing special. What was
    erased is found by its conversation id alone.
    """

    text: str = field(default="", repr=False)
    """May be personal data."""
    states: frozenset[State] = frozenset()
    reasons: frozenset[Reason] = frozenset()
    agent_id: str | None = None
    closed_from: datetime | None = None
    closed_until: datetime | None = None
    channel: str | None = None
    """As Stella Connect reports it: finds only what it has reported on."""
    overdue_at: datetime | None = None
    """Still planned, and due before this instant."""


@dataclass(frozen=True, slots=True)
class Line:
    """One interaction in the table. Personal data: those of customer and agent, and the tags at times."""

    id: int
    conversation_id: str
    closed_at: datetime
    due_at: datetime
    state: State
    reason: Reason | None
    detail: str | None
    """A few words beside the state. May name the person who acted by hand, never a customer or agent."""
    customer: Customer
    agent: Agent
    agent_profile: str | None
    """"approved", "not_approved"; None while nobody has looked."""
    tags: tuple[str, ...]
    do_not_send: bool
    attempts: int
    sent_at: datetime | None
    http_status: int | None
    created_at: datetime
    """When the ledger took it up."""
    updated_at: datetime
    """When it last moved."""
    delivery_status: str | None
    """The vendor's words, as in "Sent" or "Not sent: suppression period"; this and what follows are from the newest
    record of Data Return, None without one."""
    answered_at: datetime | None
    rating: int | None
    channel: str | None


def page(
    connection: Connection, chosen: Filter, sort: Sort, *, descending: bool, number: int = 1, size: int = 50
) -> Page[Line]:
    """One page of the table; `number` from 1, `size` up to 500 (ValueError otherwise)."""
    raise NotImplementedError


def export(read: Callable[[], AbstractContextManager[Connection]], chosen: Filter) -> Iterator[Line]:
    """Everything filtered, latest closing first, without any limit and in little memory.

    `read` is `ledger.read`: each thousand lines take a connection of their own for a moment, so that a slow
    download keeps nothing open. Closings do not change: what is there all the time comes exactly once.
    """
    raise NotImplementedError


def channels(connection: Connection) -> list[str]:
    """The channels that Stella Connect has reported, for the filter; sorted."""
    raise NotImplementedError
