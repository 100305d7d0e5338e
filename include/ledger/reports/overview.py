"""The overview: funnel, due interactions, lateness, alarms, and progress."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, func, or_, select, type_coerce

from include.interactions.reasons import Reason
from include.interactions.span import Watermark
from include.interactions.states import State
from include.interactions.utc import MILLISECOND
from include.ledger import queries
from include.ledger.schema import interaction, interaction_event, state_is, survey_response


@dataclass(frozen=True, slots=True)
class Funnel:
    """The closings of a span by stage; each number is part of the one before."""

    closed: int
    eligible: int
    """Not skipped. Cancelled interactions were eligible once."""
    sent: int
    """Stella Connect took them."""
    delivered: int
    """How many of those Stella Connect reports as "Sent" or answered."""
    answered: int
    by_state: Mapping[State, int]
    """Only states that occur."""
    by_reason: Mapping[tuple[State, Reason], int]
    """Skipped and cancelled; most frequent first."""


@dataclass(frozen=True, slots=True)
class DueBucket:
    """Interactions due in [start, start + width)."""

    start: datetime
    planned: int
    at_risk: int
    """How many of those have an agent without an approved profile at the last check."""


@dataclass(frozen=True, slots=True)
class LateBucket:
    """How many were sent at most this late, and later than the bucket before."""

    at_most: timedelta | None
    """None: later than any other bucket."""
    sent: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """`sent_at` minus `due_at` of interactions sent in a span, in whole seconds; None without any."""

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
    """What needs a person. All is well while all numbers are zero and `too_many_rejected` is False."""

    unknown: int
    oldest_unknown: datetime | None
    """Since when the oldest of them is unknown."""
    overdue: int
    """Planned, and due for more than `OVERDUE`."""
    oldest_overdue: datetime | None
    """Its due time."""
    rejected: int
    """In the last `REJECTED_WITHIN`."""
    sent: int
    """In the same time."""
    too_many_rejected: bool
    """Whether more than 5 % were refused: Stella Connect raises an alarm at that mark."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The pipeline's progress; None means not yet."""

    watermark: Watermark | None
    """The span whose closings have all been read."""
    last_recorded_at: datetime | None
    """When the ledger last recorded a closing."""
    last_sent_at: datetime | None
    last_learnt_at: datetime | None
    """When Stella Connect last reported something new."""
    last_event_at: datetime | None


OVERDUE = timedelta(minutes=10)
"""A planned interaction is overdue after this time."""
LATE = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 30, 45, 60, 90, 120, 300, 900, 3600))
"""Bounds of the buckets of lateness; by default a window lasts 60 s."""
MAX_BUCKETS = 1_000
REJECTED_WITHIN = timedelta(days=1)
REJECTED_SHARE = 0.05
"""Share of refusals above which Stella Connect raises an alarm (fact sheet, section 1)."""


_SECOND = timedelta(seconds=1) // MILLISECOND


def funnel(connection: Connection, closed_from: datetime, closed_until: datetime) -> Funnel:
    """Return the funnel of the span. The cost grows with the closings: ask for days, not for months."""
    row, given = interaction.c, survey_response.c
    span = (row.closed_at >= closed_from, row.closed_at < closed_until)
    by_state: Counter[State] = Counter()
    reasons: Counter[tuple[State, Reason]] = Counter()
    first, last = 0, 0
    counts = select(row.state, row.reason, func.count(), func.min(row.id), func.max(row.id)).where(*span)
    for state, reason, number, lowest, highest in connection.execute(counts.group_by(row.state, row.reason)):
        by_state[State(state)] += number
        if reason:
            reasons[State(state), Reason(reason)] = number
        if state == State.SENT:
            first, last = lowest, highest
    answered = given.response_received_at.is_not(None)
    delivered = or_(answered, func.lower(given.delivery_status) == "sent")

    def reported(condition: Any) -> int:
        # The ids of a few days are close together, so their responses are one part of an index.
        responses = select(given.uuid).where(
            given.interaction_id == row.id, given.interaction_id.between(first, last), condition
        )
        question = select(func.count()).where(*span, state_is(State.SENT), responses.exists())
        return connection.execute(question).scalar_one()

    closed = by_state.total()
    return Funnel(
        closed=closed,
        eligible=closed - by_state[State.SKIPPED],
        sent=by_state[State.SENT],
        delivered=reported(delivered),
        answered=reported(answered),
        by_state=dict(by_state),
        by_reason=dict(reasons.most_common()),
    )


def falling_due(
    connection: Connection, due_from: datetime, due_until: datetime, width: timedelta
) -> tuple[DueBucket, ...]:
    """Return the planned interactions of the span in buckets of this width from `due_from` on, with empty ones.

    Raises:
        ValueError: the width is under one second or makes more than 1,000 buckets.
    """
    buckets = -(-(due_until - due_from) // width) if width >= timedelta(seconds=1) else MAX_BUCKETS + 1
    if buckets > MAX_BUCKETS:
        raise ValueError(f"{width} is too narrow for the span from {due_from} until {due_until}")
    due_at = interaction.c.due_at
    place = (type_coerce(due_at - due_from, BigInteger)) // (width // MILLISECOND)
    rows = connection.execute(
        select(place, func.count(), func.count().filter(interaction.c.agent_profile == "not_approved"))
        .where(state_is(State.PLANNED), due_at >= due_from, due_at < due_until)
        .group_by(place)
    )
    numbers = {number: (planned, at_risk) for number, planned, at_risk in rows}
    return tuple(DueBucket(due_from + n * width, *numbers.get(n, (0, 0))) for n in range(buckets))


def lateness(connection: Connection, sent_from: datetime, sent_until: datetime) -> Lateness:
    """Return the lateness of the interactions sent in the span."""
    sent_at, due_at = interaction.c.sent_at, interaction.c.due_at
    late = type_coerce(sent_at - due_at, BigInteger)
    seconds = late // _SECOND
    rows = connection.execute(
        select(seconds, func.count(), func.count().filter(late < 0))
        .where(sent_at >= sent_from, sent_at < sent_until)
        .group_by(seconds)
        .order_by(seconds)
    ).all()
    counts = [(timedelta(seconds=second), number) for second, number, _ in rows]
    sent = sum(number for _, number in counts)
    bounds = (timedelta.min, *LATE)
    buckets = [
        LateBucket(upper, sum(number for late, number in counts if lower < late <= upper))
        for lower, upper in zip(bounds, LATE, strict=False)
    ]
    beyond = sum(number for late, number in counts if late > LATE[-1])
    return Lateness(
        sent=sent,
        early=sum(early for _, _, early in rows),
        median=_quantile(counts, 0.5),
        p99=_quantile(counts, 0.99),
        most=counts[-1][0] if counts else None,
        buckets=(*buckets, LateBucket(None, beyond)),
    )


def alarms(connection: Connection, now: datetime) -> Alarms:
    """Return what needs a person now; cheap at any size."""
    row = interaction.c
    unknown, oldest_unknown = connection.execute(
        select(func.count(), func.min(row.updated_at)).where(state_is(State.UNKNOWN))
    ).one()
    overdue, oldest_overdue = connection.execute(
        select(func.count(), func.min(row.due_at)).where(state_is(State.PLANNED), row.due_at < now - OVERDUE)
    ).one()
    rejected, sent = queries.count_refused_and_sent(connection, now - REJECTED_WITHIN)
    return Alarms(
        unknown=unknown,
        oldest_unknown=oldest_unknown,
        overdue=overdue,
        oldest_overdue=oldest_overdue,
        rejected=rejected,
        sent=sent,
        too_many_rejected=rejected > REJECTED_SHARE * (rejected + sent),
    )


def activity(connection: Connection) -> Activity:
    """Return the pipeline's progress; cheap at any size."""

    def latest(question: Any) -> Any:
        return connection.execute(question.limit(1)).scalar()

    event = interaction_event.c
    return Activity(
        watermark=queries.read_watermark(connection),
        last_recorded_at=latest(select(interaction.c.created_at).order_by(interaction.c.id.desc())),
        last_sent_at=latest(select(func.max(interaction.c.sent_at)).where(interaction.c.sent_at.is_not(None))),
        last_learnt_at=latest(select(func.max(survey_response.c.read_at))),
        last_event_at=latest(select(event.at).order_by(event.id.desc())),
    )


def _quantile(counts: list[tuple[timedelta, int]], share: float) -> timedelta | None:
    """Return the smallest value that this share of the interactions does not exceed."""
    needed, seen = share * sum(number for _, number in counts), 0
    for value, number in counts:
        seen += number
        if seen >= needed:
            return value
    return None
