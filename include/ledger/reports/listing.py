"""The table of interactions: search, filter, sort, page, and export."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    case,
    column,
    func,
    or_,
    select,
    type_coerce,
    values,
)

from include.interactions.mapping import FIELDS
from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.reports.distinct import list_values
from include.ledger.reports.paging import COUNTED, Page, cut, paged
from include.ledger.reports.people import Agent, Customer, agent_of, customer_of, erased_in, list_agents
from include.ledger.reports.searching import found_by
from include.ledger.schema import interaction, state_is, survey_response


class Sort(StrEnum):
    """The columns to sort by; equal rows by row id.

    Rows without a value (not sent, no agent) come last in both directions. Among rows of the same state or agent,
    or without a value, the latest closing comes first in both directions.
    """

    CLOSED_AT = "closed_at"
    DUE_AT = "due_at"
    SENT_AT = "sent_at"
    STATE = "state"
    """In the order of `State`, from planned to skipped."""
    AGENT = "agent"
    """By the agent's last known name, else the address; case does not count."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions for an interaction to be shown; a field that is left out allows all.

    `text` finds interactions whose conversation id or customer id equals the text, whose customer's e-mail starts
    with it, or whose agent's name or e-mail contains it. Case does not count in names and e-mails, spaces around
    the text are removed, and a link into Kustomer counts as its conversation. Names and e-mails need at least
    three characters. The characters % and _ have no special meaning. Erased interactions are found only by
    conversation id.
    """

    text: str = field(default="", repr=False)
    """May be personal data."""
    whole_addresses: bool = False
    """Find e-mails only by their full text, for readers who must not guess an address part by part."""
    states: frozenset[State] = frozenset()
    reasons: frozenset[Reason] = frozenset()
    agent_id: str | None = None
    rule: str | None = None
    """The name of the rule that decided."""
    closed_from: datetime | None = None
    closed_until: datetime | None = None
    channel: str | None = None
    """As Stella Connect reports it; interactions without a report are not found."""
    overdue_at: datetime | None = None
    """Still planned, and due before this instant."""


@dataclass(frozen=True, slots=True)
class Line:
    """One interaction in the table. Customer and agent are personal data; tags can be."""

    id: int
    conversation_id: str
    closed_at: datetime
    due_at: datetime
    state: State
    reason: Reason | None
    detail: str | None
    """A note beside the state. It may name the person who acted, never a customer or agent."""
    customer: Customer
    agent: Agent
    agent_profile: str | None
    """"approved" or "not_approved"; None if not checked yet."""
    tags: tuple[str, ...]
    do_not_send: bool | None
    attempts: int
    sent_at: datetime | None
    http_status: int | None
    sent_channel: str | None
    """Of the latest request that left, as the next two; None if none did."""
    sent_do_not_send: bool | None
    sent_request: str | None
    """As JSON, without its customer: personal data; None also once erased."""
    created_at: datetime
    """When the ledger recorded it."""
    updated_at: datetime
    """When its state last changed."""
    delivery_status: str | None
    """The vendor's words, such as "Sent" or "Not sent: suppression period".

    This field and the next ones come from the newest record of Data Return; None without a record.
    """
    answered_at: datetime | None
    rating: int | None
    channel: str | None
    rule: str | None
    """Fixed when the closing was recorded, as the next ones."""
    first_due_at: datetime | None
    survey: str | None
    """`count`: no survey, by a rule."""
    filed: Mapping[str, str | None]
    """Channel, brand, language and country under which Stella Connect files it."""
    custom_properties: Mapping[str, str]
    recovers_uuid: str | None
    """The answer after which it was reopened: its survey is a service recovery."""

    @property
    def tried(self) -> bool:
        """Whether a request of it has left, or may have."""
        return self.state in (State.SENDING, State.SENT, State.REJECTED, State.UNKNOWN)

    @property
    def counts_only(self) -> bool | None:
        """Whether it counts without a survey: as its request said, or as extraction saw it while none has left."""
        return self.sent_do_not_send if self.tried and self.sent_do_not_send is not None else self.do_not_send


BATCH = 1_000
"""Lines that an export reads in one query."""

_MANY, _MANY_FOUND = 5_000, 60_000
"""From this number of matches on, rows are read in index order; fewer are sorted. The second number is for text
searches, which no index of agents covers and which take longer, and for spans of days."""

Condition = ColumnElement[bool]
_WAS_SENT = interaction.c.sent_at.is_not(None)


def page(
    connection: Connection, chosen: Filter, sort: Sort, *, descending: bool, number: int = 1, size: int = 50
) -> Page[Line]:
    """Return one page of the table; `number` from 1, `size` up to 500 (ValueError otherwise)."""
    keys = _in_order(connection, _conditions(connection, chosen), chosen, sort, descending=descending)
    return paged(lines(connection, cut(keys, number, size)), keys, number, size)


def export(read: Callable[[], AbstractContextManager[Connection]], chosen: Filter) -> Iterator[Line]:
    """Yield all matching lines, latest closing first, without a limit and with little memory.

    `read` is `ledger.read`: each thousand lines use a connection for a moment, so a slow download keeps none open.
    Closings do not change, so a line that exists all the time comes once.
    """
    with read() as connection:
        conditions = _conditions(connection, chosen)
    beyond: list[Condition] = []
    while True:
        with read() as connection:
            some = lines(connection, _latest(connection, [*conditions, *beyond], BATCH))
        yield from some
        if len(some) < BATCH:
            return
        last, at, row_id = some[-1], interaction.c.closed_at, interaction.c.id
        beyond = [at <= last.closed_at, or_(at < last.closed_at, row_id < last.id)]


def rules(connection: Connection) -> list[str]:
    """Return the names of the rules that ever decided about a closing, sorted, for the filter."""
    return list_values(connection, interaction.c.rule, interaction.c.rule.is_not(None))


def channels(connection: Connection) -> list[str]:
    """Return the channels that Stella Connect has reported, sorted, for the filter."""
    return list_values(connection, survey_response.c.channel)


def lines(connection: Connection, ids: Sequence[int]) -> list[Line]:
    """Return the lines of these rows, in this order."""
    if not ids:
        return []
    rows = {row.id: row for row in connection.execute(select(interaction).where(interaction.c.id.in_(ids)))}
    reported = connection.execute(
        select(survey_response)
        .where(survey_response.c.interaction_id.in_(ids))
        .order_by(survey_response.c.sequence_id)
    )
    newest = {row.interaction_id: row for row in reported}
    erased = erased_in(connection, ids)
    return [_line(rows[row_id], newest.get(row_id), row_id in erased) for row_id in ids]


def _conditions(connection: Connection, chosen: Filter) -> list[Condition]:
    row = interaction.c
    conditions: list[Condition] = []
    if text := chosen.text.strip():
        conditions.append(found_by(connection, text, whole_addresses=chosen.whole_addresses))
    if chosen.states:
        conditions.append(_one_of(chosen.states))
    if chosen.reasons:
        conditions.append(row.reason.in_(sorted(chosen.reasons)))
    if chosen.agent_id is not None:
        conditions.append(row.agent_id == chosen.agent_id)
    if chosen.rule is not None:
        conditions.append(row.rule == chosen.rule)
    if chosen.closed_from is not None:
        conditions.append(row.closed_at >= chosen.closed_from)
    if chosen.closed_until is not None:
        conditions.append(row.closed_at < chosen.closed_until)
    if chosen.channel is not None:
        conditions.append(_reported_through(connection, chosen.channel))
    if chosen.overdue_at is not None:
        conditions.append(and_(state_is(State.PLANNED), row.due_at < chosen.overdue_at))
    return conditions


def _reported_through(connection: Connection, channel: str) -> Condition:
    given = survey_response.c
    if connection.dialect.name == "postgresql":
        found = select(given.uuid).where(given.interaction_id == interaction.c.id, given.channel == channel)
        return found.exists()
    # Without statistics SQLite would read the whole channel for each row. So the query says how: read all of a
    # rare channel once, or look row by row at the row's own response, which no index of channels answers.
    of_channel = select(given.interaction_id).where(given.channel == channel)
    some = connection.execute(select(func.count()).select_from(of_channel.limit(_MANY).subquery())).scalar_one()
    if some < _MANY:
        return interaction.c.id.in_(of_channel)
    same_interaction = given.interaction_id == interaction.c.id
    return select(given.uuid).where(same_interaction, given.channel.concat("") == channel).exists()


def _one_of(states: Collection[State]) -> Condition:
    if len(states) == 1:
        return state_is(*states)
    return interaction.c.state.in_(sorted(states))  # one index look-up for each, unlike OR


def _in_order(
    connection: Connection, conditions: list[Condition], chosen: Filter, sort: Sort, *, descending: bool
) -> list[int]:
    """Return the ids of the first `COUNTED` matches and one more, by short walks along the indexes."""
    row, states = interaction.c, _possible_states(chosen)
    match sort:
        case Sort.CLOSED_AT:
            return _walk(connection, conditions, row.closed_at, descending=descending)
        case Sort.DUE_AT:
            return _in_time(connection, conditions, chosen, row.due_at, descending=descending)
        case Sort.SENT_AT:
            if State.SENT not in states:  # by the schema no other state has been sent
                return _latest(connection, conditions)
            ids = _in_time(connection, [*conditions, _WAS_SENT], chosen, row.sent_at, descending=descending)
            return ids + _latest(connection, [*conditions, ~_WAS_SENT], COUNTED + 1 - len(ids))
        case Sort.STATE:
            if descending:
                states.reverse()
            if len(states) < 2 or _are_more(
                connection, conditions, than=_MANY_FOUND if chosen.reasons else COUNTED
            ):
                return _in_groups(connection, conditions, map(state_is, states))
            place = case({state: place for place, state in enumerate(states)}, value=row.state)
            return _sorted(connection, conditions, place)
        case Sort.AGENT:
            agents = [agent.id for agent in list_agents(connection) if agent.id]
            if descending:
                agents.reverse()
            most = _MANY_FOUND if chosen.text.strip() else _MANY
            if (sorted_ids := _sorted_by_agent(connection, conditions, agents, most)) is not None:
                return sorted_ids
            each = [*(row.agent_id == agent for agent in agents), row.agent_id.is_(None)]
            return _in_groups(connection, conditions, each)


def _possible_states(chosen: Filter) -> list[State]:
    """Return the states in the order of an interaction's life."""
    states = set(chosen.states or State)
    if chosen.reasons:
        states &= {State.SKIPPED, State.CANCELLED}
    if chosen.overdue_at:
        states &= {State.PLANNED}
    return [state for state in State if state in states]


def _in_groups(connection: Connection, conditions: list[Condition], groups: Iterable[Condition]) -> list[int]:
    ids: list[int] = []
    for group in groups:
        ids += _latest(connection, [*conditions, group], COUNTED + 1 - len(ids))
    return ids


def _are_more(connection: Connection, conditions: list[Condition], *, than: int) -> bool:
    """Tell whether reading in index order is faster than sorting all matches."""
    some = select(interaction.c.id).where(*conditions).limit(than).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() == than


def _in_time(
    connection: Connection, conditions: list[Condition], chosen: Filter, by: ColumnElement[Any], *, descending: bool
) -> list[int]:
    """Limit by a time that grows with the closing's, so that its index skips all rows before the span."""
    spanned = chosen.closed_from is not None or chosen.closed_until is not None
    if spanned and not _are_more(connection, conditions, than=_MANY_FOUND):
        by = type_coerce(by, BigInteger) + 0  # no index has it in order
    return _walk(connection, conditions, by, descending=descending)


def _sorted_by_agent(
    connection: Connection, conditions: list[Condition], agents: list[str], most: int
) -> list[int] | None:
    """Return the ids in the order of these agents; None if there are `most` matches. Finds them only once."""
    row = interaction.c
    places = values(column("agent_id", Text), column("place", Integer), name="places")
    in_place = places.data([(agent, place) for place, agent in enumerate(agents)] or [("", 0)]).cte()
    found = select(row.id, row.agent_id, row.closed_at).where(*conditions).limit(most).cte("found")
    place = func.coalesce(in_place.c.place, len(agents))
    in_order = (
        select(found.c.id, select(func.count()).select_from(found).scalar_subquery().label("number"))
        .select_from(found.outerjoin(in_place, in_place.c.agent_id == found.c.agent_id))
        .order_by(place, found.c.closed_at.desc(), found.c.id.desc())
        .limit(COUNTED + 1)
    )
    rows = connection.execute(in_order).all()
    return None if rows and rows[0].number == most else [row.id for row in rows]


def _sorted(connection: Connection, conditions: list[Condition], place: ColumnElement[int]) -> list[int]:
    row = interaction.c
    in_order = select(row.id).where(*conditions).order_by(place, row.closed_at.desc(), row.id.desc())
    return list(connection.execute(in_order.limit(COUNTED + 1)).scalars())


def _walk(
    connection: Connection,
    conditions: list[Condition],
    by: ColumnElement[Any],
    most: int = COUNTED + 1,
    *,
    descending: bool,
) -> list[int]:
    keys = [by, interaction.c.id]
    order = [key.desc() for key in keys] if descending else keys
    found = connection.execute(select(interaction.c.id).where(*conditions).order_by(*order).limit(most))
    return list(found.scalars())


def _latest(connection: Connection, conditions: list[Condition], most: int = COUNTED + 1) -> list[int]:
    return _walk(connection, conditions, interaction.c.closed_at, most, descending=True) if most else []


def _line(row: Any, reported: Any | None, erased: bool) -> Line:
    return Line(
        id=row.id,
        conversation_id=row.conversation_id,
        closed_at=row.closed_at,
        due_at=row.due_at,
        state=State(row.state),
        reason=Reason(row.reason) if row.reason else None,
        detail=row.detail,
        customer=customer_of(row, erased),
        agent=agent_of(row),
        agent_profile=row.agent_profile,
        tags=row.tags,
        do_not_send=row.do_not_send,
        attempts=row.attempts,
        sent_at=row.sent_at,
        http_status=row.http_status,
        sent_channel=row.sent_channel,
        sent_do_not_send=row.sent_do_not_send,
        sent_request=row.sent_request,
        created_at=row.created_at,
        updated_at=row.updated_at,
        delivery_status=reported.delivery_status if reported else None,
        answered_at=reported.response_received_at if reported else None,
        rating=reported.rating if reported else None,
        channel=reported.channel if reported else None,
        rule=row.rule,
        first_due_at=row.first_due_at,
        survey=row.survey,
        filed={name: getattr(row, name) for name in FIELDS},
        custom_properties=row.custom_properties,
        recovers_uuid=row.recovers_uuid,
    )
