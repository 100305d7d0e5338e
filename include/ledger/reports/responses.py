"""Survey responses: cards, and averages for a chart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Connection

from include.ledger.reports.paging import Page
from include.ledger.reports.people import Agent, Customer


@dataclass(frozen=True, slots=True)
class Card:
    """One record of Data Return. Personal data: those of customer and agent, and the comment."""

    uuid: str
    """Stella Connect's id of the record."""
    interaction_id: int
    """Row id in the ledger, for the link to its story."""
    conversation_id: str
    closed_at: datetime
    agent: Agent
    customer: Customer
    answered_at: datetime | None
    rating: int | None
    """Stars; None where the customer gave none."""
    comment: str | None = field(repr=False)
    """The customer's own words; None when there are none, or when `customer.erased`."""
    reward: str | None
    requested_at: datetime | None
    """When the request entered Stella Connect."""
    sent_at: datetime | None
    """When the survey went out, as Stella Connect says."""
    delivery_status: str | None
    channel: str | None
    brand: str | None


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Which cards to show; everything left out shows all."""

    agent_id: str | None = None
    answered_from: datetime | None = None
    answered_until: datetime | None = None
    ratings: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Average:
    """The answers of a group."""

    answered: int
    rated: int
    """Of those, with stars."""
    rating: float | None
    """Mean of the stars; None without any."""
    by_stars: Mapping[int, int]
    """How often each number of stars was given; only those that occur."""


def page(connection: Connection, chosen: CardFilter, *, number: int = 1, size: int = 24) -> Page[Card]:
    """Answered cards, latest answer first; `number` from 1, `size` up to 500 (ValueError otherwise)."""
    raise NotImplementedError


def averages_by_day(
    connection: Connection, answered_from: datetime, answered_until: datetime, agent_id: str | None = None
) -> dict[date, Average]:
    """The answers of the span by day (UTC), oldest first; days without an answer are missing."""
    raise NotImplementedError


def averages_by_agent(
    connection: Connection, answered_from: datetime, answered_until: datetime
) -> list[tuple[Agent, Average]]:
    """The answers of the span by agent, most answers first; those of forgotten agents together, as erased."""
    raise NotImplementedError
