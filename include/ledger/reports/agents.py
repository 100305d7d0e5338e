"""Agents: who cannot receive feedback and what waits because of it; and each agent's own stream."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from include.ledger.reports.paging import Page
from include.ledger.reports.people import Agent
from include.ledger.reports.responses import Average, Card


class Profile(StrEnum):
    """What the ledger last heard of an agent's profile at Stella Connect."""

    APPROVED = "approved"
    NOT_APPROVED = "not_approved"
    UNKNOWN = "unknown"
    """Nobody has looked yet."""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """One agent. `waiting…` is of now, the rest of a span."""

    agent: Agent
    profile: Profile
    waiting: int
    """Planned interactions that will be skipped unless the profile is approved before they fall due."""
    waiting_since: datetime | None
    """The earliest closing among them."""
    first_due_at: datetime | None
    """When the first of them falls due: the manager's deadline."""
    closed: int
    """Closings of the span."""
    sent: int
    """Of those, sent."""
    skipped_for_profile: int
    """Of those, skipped because the profile was not approved: the surveys that were lost."""
    answers: Average
    """To surveys answered in the span."""


def known(connection: Connection) -> list[Agent]:
    """Every agent whom the ledger remembers, by name; name and address as in the agent's latest closing."""
    raise NotImplementedError


def report(connection: Connection, since: datetime, until: datetime) -> list[AgentReport]:
    """Every known agent: first who has something waiting, by deadline; then the others by name."""
    raise NotImplementedError


def one(connection: Connection, agent_id: str, since: datetime, until: datetime) -> AgentReport | None:
    """The report of one agent; None if the ledger knows nobody of this id."""
    raise NotImplementedError


def stream(connection: Connection, agent_id: str, *, number: int = 1, size: int = 50) -> Page[Card]:
    """The agent's own stream: everything Stella Connect reports, answered or not, latest request first."""
    raise NotImplementedError
