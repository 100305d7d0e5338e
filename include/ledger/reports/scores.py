"""What customers answered, in numbers: stars, NPS, resolution, response rate, time to answer, by group.

A disputed answer counts: Data Return keeps it and only marks it, and the vendor does not say that it leaves it out.
An answer to a service recovery counts in none of them, because its first survey does.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import BigInteger, ColumnElement, Connection, func, or_, select, type_coerce

from include.interactions.answers import EXCELLENCE, IMPROVEMENT
from include.interactions.utc import EPOCH, MILLISECOND
from include.ledger.schema import survey_response

COUNTED_AREAS = 1_000
"""So many of the latest answers are read for their areas."""
COUNTED_SURVEYS = 50_000
"""So many of the latest requests are counted for the response rate."""
_DAY = timedelta(days=1)
_PROMOTER, _DETRACTOR = 9, 6
_given = survey_response.c
_answered_at = _given.response_received_at
_first_survey = or_(_given.is_recovery.is_(None), _given.is_recovery.is_(False))


class Group(StrEnum):
    """What the numbers are grouped by."""

    AGENT = "agent"
    TEAM_LEADER = "team_leader"
    BRAND = "brand"
    CHANNEL = "channel"
    DAY = "day"
    """UTC."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The answers of a group as counts and sums, so that groups can be added up."""

    answered: int = 0
    rated: int = 0
    """How many of those have stars."""
    stars: int = 0
    """All their stars together."""
    nps_given: int = 0
    promoters: int = 0
    detractors: int = 0
    resolution_given: int = 0
    resolved: int = 0
    disputed: int = 0
    timed: int = 0
    """How many of the answers say when their survey was sent."""
    waited_milliseconds: int = 0
    """From survey to answer, all of those together."""

    def __add__(self, other: Self) -> Self:
        """Return the scores of both groups together."""
        return type(self)(*(getattr(self, score.name) + getattr(other, score.name) for score in fields(self)))

    @property
    def rating(self) -> float | None:
        """Return the mean of the stars."""
        return self.stars / self.rated if self.rated else None

    @property
    def nps(self) -> float | None:
        """Return promoters (9 and 10) minus detractors (0 to 6), in per cent of those who answered."""
        return 100 * (self.promoters - self.detractors) / self.nps_given if self.nps_given else None

    @property
    def time_to_answer(self) -> timedelta | None:
        """Return the mean time from survey to answer."""
        return self.waited_milliseconds / self.timed * MILLISECOND if self.timed else None


@dataclass(frozen=True, slots=True)
class Reach:
    """The surveys that went out for requests of a span."""

    surveys: int = 0
    answered: int = 0

    def __add__(self, other: Self) -> Self:
        """Return the surveys of both groups together."""
        return type(self)(self.surveys + other.surveys, self.answered + other.answered)


def scores_by(
    connection: Connection, group: Group, since: datetime, until: datetime, agent_id: str | None = None
) -> dict[Any, Scores]:
    """Return the answers received in [since, until) by group; None stands for answers without one.

    Keys are ids of agents, texts, or days (date, UTC).
    """
    waited = type_coerce(_answered_at - _given.request_sent_at, BigInteger)
    rows = connection.execute(
        select(
            _column(group, _answered_at),
            func.count(),
            func.count(_given.rating),
            func.coalesce(func.sum(_given.rating), 0),
            func.count(_given.nps),
            func.count().filter(_given.nps >= _PROMOTER),
            func.count().filter(_given.nps <= _DETRACTOR),
            func.count(_given.resolved),
            func.count().filter(_given.resolved.is_(True)),
            func.count().filter(_given.disputed.is_(True)),
            func.count(_given.request_sent_at),
            func.coalesce(func.sum(waited), 0),
        )
        .where(_answered_at >= since, _answered_at < until, _first_survey, *_of(agent_id))
        .group_by("member")
    )
    return {_key(group, key): Scores(*map(int, counts)) for key, *counts in rows}


def reach_by(
    connection: Connection, group: Group, since: datetime, until: datetime, agent_id: str | None = None
) -> dict[Any, Reach]:
    """Return how many surveys requested in [since, until) went out, and how many are answered by now, by group.

    Only the latest `COUNTED_SURVEYS` requests are counted.
    """
    requested_at = _given.request_created_at
    was_sent = or_(func.lower(_given.delivery_status) == "sent", _answered_at.is_not(None))
    latest = (
        select(
            _column(group, requested_at), _given.agent_id.label("agent"), _answered_at, was_sent.label("was_sent")
        )
        .where(requested_at >= since, requested_at < until, _first_survey)
        .order_by(requested_at.desc())
        .limit(COUNTED_SURVEYS)
        .subquery()
    ).c
    rows = connection.execute(
        select(latest.member, func.count().filter(latest.was_sent), func.count(latest.response_received_at))
        .where(*() if agent_id is None else (latest.agent == agent_id,))
        .group_by(latest.member)
    )
    return {_key(group, key): Reach(*counts) for key, *counts in rows}


@dataclass(frozen=True, slots=True)
class Areas:
    """How often customers chose each area, most frequent first."""

    answers: int
    """How many answers were read; erased ones are not among them."""
    excellence: Mapping[str, int]
    improvement: Mapping[str, int]


def areas(connection: Connection, since: datetime, until: datetime, agent_id: str | None = None) -> Areas:
    """Return the areas in the latest answers of [since, until)."""
    latest = (
        connection.execute(
            select(_given.answers)
            .where(_answered_at >= since, _answered_at < until, _first_survey, *_of(agent_id))
            .order_by(_answered_at.desc())
            .limit(COUNTED_AREAS)
        )
        .scalars()
        .all()
    )
    chosen = Counter((answer.type, label) for answers in latest for answer in answers for label in answer.options)

    def of(name: str) -> dict[str, int]:
        return {label: number for (kind, label), number in chosen.most_common() if kind == name}

    return Areas(sum(map(bool, latest)), of(EXCELLENCE), of(IMPROVEMENT))


def _column(group: Group, moment: ColumnElement[Any]) -> ColumnElement[Any]:
    if group is Group.DAY:
        return (type_coerce(moment, BigInteger) // (_DAY // MILLISECOND)).label("member")
    column: ColumnElement[Any] = _given.agent_id if group is Group.AGENT else _given[group]
    return column.label("member")


def _key(group: Group, key: Any) -> Any:
    return (EPOCH + key * _DAY).date() if group is Group.DAY else key


def _of(agent_id: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if agent_id is None else (_given.agent_id == agent_id,)
