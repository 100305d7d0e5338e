"""The overview: the funnel, what falls due, how late things left, what needs a person, how far all has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from include.interactions.span import Watermark
from include.interactions.states import Reason, State


@dataclass(frozen=True, slots=True)
class Funnel:
    """How far the closings of a span have come; each number is part of the one before."""

    closed: int
    eligible: int
    """Not skipped. Cancelled ones were eligible once."""
    sent: int
    """Stella Connect took them."""
    delivered: int
    """Of those, what Stella Connect reports as "Sent", or has an answer to."""
    answered: int
    by_state: Mapping[State, int]
    """Only states that occur."""
    by_reason: Mapping[tuple[State, Reason], int]
    """Skipped and cancelled; most frequent first."""


@dataclass(frozen=True, slots=True)
class DueBucket:
    """What falls due in [start, start + width)."""

    start: datetime
    planned: int
    at_risk: int
    """Of those, whose agent had no approved profile when last looked."""


@dataclass(frozen=True, slots=True)
class LateBucket:
    """How many left at most so late, and later than the bucket before."""

    at_most: timedelta | None
    """None: later than any other bucket."""
    sent: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """`sent_at` minus `due_at` of what was sent in a span, to the second below; None if nothing was."""

    sent: int
    early: int
    """Sent before it was due: must be 0."""
    median: timedelta | None
    p99: timedelta | None
    most: timedelta | None
    buckets: tuple[LateBucket, ...]
    """Always the same bounds, shortest first."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """What a person should know of; nothing here is wrong while all are zero and `too_many_rejected` is False."""

    unknown: int
    oldest_unknown: datetime | None
    """Since when the longest of them is unknown."""
    overdue: int
    """Planned, and due for more than `OVERDUE`."""
    oldest_overdue: datetime | None
    """Its due time."""
    rejected: int
    """In the last `REJECTED_WITHIN`."""
    sent: int
    """In the same time."""
    too_many_rejected: bool
    """More than 5 % of both: Stella Connect raises its own alarm at that mark."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How far all has come; None is never yet."""

    watermark: Watermark | None
    """The span whose closings have all been read: "covered up to 14:00"."""
    last_recorded_at: datetime | None
    """When the ledger last took up a closing."""
    last_sent_at: datetime | None
    last_learnt_at: datetime | None
    """When Stella Connect last told something new."""
    last_event_at: datetime | None
    last_actor: str | None
    """Who moved an interaction last: a run's id, or a person (personal data)."""


OVERDUE = timedelta(minutes=10)
REJECTED_WITHIN = timedelta(days=1)
REJECTED_SHARE = 0.05


def funnel(connection: Connection, closed_from: datetime, closed_until: datetime) -> Funnel:
    """How far the closings of the span have come. Costs by the number of closings: ask for days, not for months."""
    raise NotImplementedError


def falling_due(
    connection: Connection, due_from: datetime, due_until: datetime, width: timedelta
) -> tuple[DueBucket, ...]:
    """What is planned for the span, in buckets of that width from `due_from` on, empty ones included.

    Raises:
        ValueError: the width is under a second, or makes more than 1,000 buckets.
    """
    raise NotImplementedError


def lateness(connection: Connection, sent_from: datetime, sent_until: datetime) -> Lateness:
    """How late the interactions left that were sent in the span."""
    raise NotImplementedError


def alarms(connection: Connection, now: datetime) -> Alarms:
    """What needs a person at this moment; cheap at any size."""
    raise NotImplementedError


def activity(connection: Connection) -> Activity:
    """How far all has come; cheap at any size."""
    raise NotImplementedError
