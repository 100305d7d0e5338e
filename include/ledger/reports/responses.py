"""Survey responses: cards, and averages for a chart."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, func, select, type_coerce

from include.ledger.columns import EPOCH, MILLISECOND
from include.ledger.reports.paging import COUNTED, Page, cut, paged
from include.ledger.reports.people import FORGOTTEN, Agent, Customer, agent_of, customer_of, erased_in, known
from include.ledger.schema import interaction, survey_response


@dataclass(frozen=True, slots=True)
class Card:
    """One record of Data Return. Customer, agent and comment are personal data."""

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
    """Stars; None if the customer gave none."""
    comment: str | None = field(repr=False)
    """The customer's comment; None without one, or if `customer.erased`."""
    reward: str | None
    requested_at: datetime | None
    """When the request entered Stella Connect."""
    sent_at: datetime | None
    """When the survey was sent, as Stella Connect reports it."""
    delivery_status: str | None
    channel: str | None
    brand: str | None


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Which cards to show; a field that is left out allows all."""

    agent_id: str | None = None
    answered_from: datetime | None = None
    answered_until: datetime | None = None
    ratings: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Average:
    """The answers of a group."""

    answered: int
    rated: int
    """How many of those have stars."""
    rating: float | None
    """Mean of the stars; None without any."""
    by_stars: Mapping[int, int]
    """How often each number of stars was given; without zeros."""


_DAY = timedelta(days=1)


def page(connection: Connection, chosen: CardFilter, *, number: int = 1, size: int = 24) -> Page[Card]:
    """Return answered cards, latest answer first; `number` from 1, `size` up to 500 (ValueError otherwise)."""
    answered_at = survey_response.c.response_received_at
    question = select(survey_response.c.uuid).where(answered_at.is_not(None))
    if chosen.agent_id is not None:
        question = question.where(survey_response.c.agent_id == chosen.agent_id)
    if chosen.answered_from is not None:
        question = question.where(answered_at >= chosen.answered_from)
    if chosen.answered_until is not None:
        question = question.where(answered_at < chosen.answered_until)
    if chosen.ratings:
        question = question.where(survey_response.c.rating.in_(sorted(chosen.ratings)))
    question = question.order_by(answered_at.desc(), survey_response.c.uuid).limit(COUNTED + 1)
    keys = connection.execute(question).scalars().all()
    return paged(cards(connection, cut(keys, number, size)), keys, number, size)


def averages_by_day(
    connection: Connection, answered_from: datetime, answered_until: datetime, agent_id: str | None = None
) -> dict[date, Average]:
    """Return the answers of the span by day (UTC), oldest first, without empty days."""
    day = type_coerce(survey_response.c.response_received_at, BigInteger) // (_DAY // MILLISECOND)
    question = _stars(day, answered_from, answered_until)
    if agent_id is not None:
        question = question.where(survey_response.c.agent_id == agent_id)
    averages = _averages(connection.execute(question))
    return {(EPOCH + number * _DAY).date(): averages[number] for number in sorted(averages)}


def averages_by_agent(
    connection: Connection, answered_from: datetime, answered_until: datetime
) -> list[tuple[Agent, Average]]:
    """Return the answers of the span by agent, most answers first; erased agents are one group."""
    agents = {agent.id: agent for agent in known(connection)}
    averages = averages_of_agents(connection, answered_from, answered_until)
    by_number = sorted(averages.items(), key=lambda pair: -pair[1].answered)
    return [(agents.get(agent_id, FORGOTTEN), average) for agent_id, average in by_number]


def averages_of_agents(
    connection: Connection, answered_from: datetime, answered_until: datetime
) -> dict[str | None, Average]:
    """Return the answers of the span by the agent's id; None stands for all erased agents."""
    agent_id = survey_response.c.agent_id
    return _averages(connection.execute(_stars(agent_id, answered_from, answered_until)))


def cards(connection: Connection, uuids: Sequence[str]) -> list[Card]:
    """Return the cards with these ids, in this order."""
    return _cards(connection, survey_response.c.uuid, uuids)


def cards_of(connection: Connection, interaction_ids: Sequence[int]) -> list[Card]:
    """Return every card of these interactions, newest first."""
    return _cards(connection, survey_response.c.interaction_id, interaction_ids)


def average_of(stars: Iterable[tuple[int | None, int]]) -> Average:
    """Return the average of (stars, how often); None if no answer has stars."""
    counts: Counter[int] = Counter()
    answered = 0
    for rating, number in stars:
        answered += number
        if rating is not None:
            counts[rating] += number
    rated = counts.total()
    mean = sum(rating * number for rating, number in counts.items()) / rated if rated else None
    return Average(answered, rated, mean, dict(sorted(counts.items())))


def _stars(group: ColumnElement[Any], answered_from: datetime, answered_until: datetime) -> Any:
    answered_at = survey_response.c.response_received_at
    return (
        select(group, survey_response.c.rating, func.count())
        .where(answered_at >= answered_from, answered_at < answered_until)
        .group_by(group, survey_response.c.rating)
    )


def _averages(rows: Iterable[Any]) -> dict[Any, Average]:
    by_group: defaultdict[Any, list[tuple[int | None, int]]] = defaultdict(list)
    for group, rating, number in rows:
        by_group[group].append((rating, number))
    return {group: average_of(stars) for group, stars in by_group.items()}


def _cards(connection: Connection, column: ColumnElement[Any], keys: Sequence[Any]) -> list[Card]:
    if not keys:
        return []
    given = survey_response.c
    of_interaction = [
        column for column in interaction.c if column.name in {"conversation_id", "closed_at", "reason", "detail"}
    ]
    people = [column for column in interaction.c if column.name.startswith(("customer_", "agent_"))]
    question = (
        select(*(column for column in given if column is not given.agent_id), *of_interaction, *people)
        .join(interaction)
        .where(column.in_(keys))
        .order_by(given.sequence_id.desc(), given.uuid)
    )
    place = {key: number for number, key in enumerate(keys)}
    rows = connection.execute(question).all()
    if column is given.uuid:
        rows = sorted(rows, key=lambda row: place[row.uuid])
    erased = erased_in(connection, [row.interaction_id for row in rows])
    return [_card(row, row.interaction_id in erased) for row in rows]


def _card(row: Any, erased: bool) -> Card:
    return Card(
        uuid=row.uuid,
        interaction_id=row.interaction_id,
        conversation_id=row.conversation_id,
        closed_at=row.closed_at,
        agent=agent_of(row),
        customer=customer_of(row, erased),
        answered_at=row.response_received_at,
        rating=row.rating,
        comment=row.comment,
        reward=row.reward,
        requested_at=row.request_created_at,
        sent_at=row.request_sent_at,
        delivery_status=row.delivery_status,
        channel=row.channel,
        brand=row.brand,
    )
