"""Survey responses as cards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from include.interactions.answers import Answer
from include.ledger.reports.paging import COUNTED, Page, cut, paged
from include.ledger.reports.people import Agent, Customer, agent_of, customer_of, erased_in
from include.ledger.schema import interaction, survey_response


@dataclass(frozen=True, slots=True)
class Card:
    """One record of Data Return. Customer, agent, team leader, comment and answers are personal data."""

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
    nps: int | None
    resolved: bool | None
    comment: str | None = field(repr=False)
    """The customer's comment; None without one, or if `customer.erased`."""
    answers: tuple[Answer, ...] = field(repr=False)
    """Every question that the customer saw; empty without an answer, or if `customer.erased`."""
    disputed: bool
    is_recovery: bool
    reward: str | None
    requested_at: datetime | None
    """When the request entered Stella Connect."""
    sent_at: datetime | None
    """When the survey was sent, as Stella Connect reports it."""
    delivery_status: str | None
    channel: str | None
    brand: str | None
    language: str | None
    survey_name: str | None
    team_leader: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Which cards to show; a field that is left out allows all."""

    agent_id: str | None = None
    answered_from: datetime | None = None
    answered_until: datetime | None = None
    ratings: frozenset[int] = frozenset()


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


def cards(connection: Connection, uuids: Sequence[str]) -> list[Card]:
    """Return the cards with these ids, in this order."""
    return _cards(connection, survey_response.c.uuid, uuids)


def cards_of(connection: Connection, interaction_ids: Sequence[int]) -> list[Card]:
    """Return every card of these interactions, newest first."""
    return _cards(connection, survey_response.c.interaction_id, interaction_ids)


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
        nps=row.nps,
        resolved=row.resolved,
        comment=row.comment,
        answers=row.answers,
        disputed=bool(row.disputed),
        is_recovery=bool(row.is_recovery),
        reward=row.reward,
        requested_at=row.request_created_at,
        sent_at=row.request_sent_at,
        delivery_status=row.delivery_status,
        channel=row.channel,
        brand=row.brand,
        language=row.language,
        survey_name=row.survey_name,
        team_leader=row.team_leader,
    )
