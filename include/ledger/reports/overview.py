"""The overview: the funnel, what falls due, how late things left, what needs a person, how far all has come."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, case, func, or_, select, type_coerce

from include.interactions.reasons import Reason
from include.interactions.span import Watermark
from include.interactions.states import State
from include.ledger import queries
from include.ledger.columns import MILLISECOND
from include.ledger.schema import interaction, interaction_event, state_is, survey_response


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
"""A planned interaction that is due for longer is overdue."""
LATE = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 30, 45, 60, 90, 120, 300, 900, 3600))
"""Bounds of the buckets of lateness; a window's own length is 60 s unless set otherwise."""
MOST_BUCKETS = 1_000
REJECTED_WITHIN = timedelta(days=1)
REJECTED_SHARE = 0.05
"""Share of refusals above which Stella Connect alarms its client (fact sheet, section 1)."""


_SECOND = timedelta(seconds=1) // MILLISECOND


def funnel(connection: Connection, closed_from: datetime, closed_until: datetime) -> Funnel:
    """How far the closings of the span have come. Costs by the number of closings: ask for days, not for months."""
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
        # The ids of a few days lie together: their responses are a part of an index, not the whole table.
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
    """What is planned for the span, in buckets of that width from `due_from` on, empty ones included.

    Raises:
        ValueError: the width is under a second, or makes more than 1,000 buckets.
    """
    buckets = -(-(due_until - due_from) // width) if width >= timedelta(seconds=1) else MOST_BUCKETS + 1
    if buckets > MOST_BUCKETS:
        raise ValueError(f"{width} is too narrow for what falls due from {due_from} until {due_until}")
    due_at = interaction.c.due_at
    place = (type_coerce(due_at - due_from, BigInteger)) // (width // MILLISECOND)
    rows = connection.execute(
        select(place, func.count(), func.count(case((interaction.c.agent_profile == "not_approved", 1))))
        .where(state_is(State.PLANNED), due_at >= due_from, due_at < due_until)
        .group_by(place)
    )
    numbers = {number: (planned, at_risk) for number, planned, at_risk in rows}
    return tuple(DueBucket(due_from + n * width, *numbers.get(n, (0, 0))) for n in range(buckets))


def lateness(connection: Connection, sent_from: datetime, sent_until: datetime) -> Lateness:
    """How late the interactions left that were sent in the span."""
    sent_at, due_at = interaction.c.sent_at, interaction.c.due_at
    late = type_coerce(sent_at - due_at, BigInteger)
    seconds = late // _SECOND
    rows = connection.execute(
        select(seconds, func.count(), func.count(case((late < 0, 1))))
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
    """What needs a person at this moment; cheap at any size."""
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
    """How far all has come; cheap at any size."""

    def latest(question: Any) -> Any:
        return connection.execute(question.limit(1)).scalar()

    event = interaction_event.c
    return Activity(
        watermark=queries.read_watermark(connection),
        last_recorded_at=latest(select(interaction.c.created_at).order_by(interaction.c.id.desc())),
        last_sent_at=latest(select(func.max(interaction.c.sent_at)).where(interaction.c.sent_at.is_not(None))),
        last_learnt_at=latest(select(func.max(survey_response.c.read_at))),
        last_event_at=latest(select(event.at).order_by(event.id.desc())),
        last_actor=latest(select(event.actor).where(event.actor.is_not(None)).order_by(event.id.desc())),
    )


def _quantile(counts: list[tuple[timedelta, int]], share: float) -> timedelta | None:
    """The smallest value that so large a share does not exceed."""
    needed, seen = share * sum(number for _, number in counts), 0
    for value, number in counts:
        seen += number
        if seen >= needed:
            return value
    return None
