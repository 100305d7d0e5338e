"""Agents: who cannot receive feedback, what waits because of that, and the reports on each agent."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, case, func, or_, select, true

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.ledger.reports.distinct import each_value
from include.ledger.reports.paging import COUNTED, Page, cut, paged
from include.ledger.reports.people import Agent, latest_of, list_agents
from include.ledger.reports.responses import Card, cards
from include.ledger.reports.scores import Group, Scores, scores_by
from include.ledger.schema import interaction, state_is, survey_response


class Profile(StrEnum):
    """The last known state of an agent's profile at Stella Connect."""

    APPROVED = "approved"
    NOT_APPROVED = "not_approved"
    UNKNOWN = "unknown"
    """Not checked yet."""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """One agent. The `waiting` fields describe now, the others a span."""

    agent: Agent
    profile: Profile
    waiting: int
    """Planned interactions that will be skipped unless the profile is approved before they fall due."""
    waiting_since: datetime | None
    """The earliest closing among them."""
    first_due_at: datetime | None
    """When the first of them falls due: the deadline for the approval."""
    closed: int
    """Closings in the span."""
    sent: int
    """How many of those were sent."""
    skipped_for_profile: int
    """How many of those were skipped because the profile was not approved."""
    answers: Scores
    """Answers in the span."""


_NOT_APPROVED = interaction.c.reason == Reason.AGENT_PROFILE_NOT_APPROVED


def report(connection: Connection, since: datetime, until: datetime) -> list[AgentReport]:
    """Return every known agent: first those with waiting interactions, by deadline; then the others, by name."""
    reports = _reports(connection, list_agents(connection), since, until)
    urgent = sorted(
        (report for report in reports if report.first_due_at),
        key=lambda report: (report.first_due_at, report.agent.id),
    )
    return urgent + [report for report in reports if not report.first_due_at]


def report_agent(connection: Connection, agent_id: str, since: datetime, until: datetime) -> AgentReport | None:
    """Return the report of one agent; None if the ledger does not know this id."""
    found = [agent for agent in list_agents(connection) if agent.id == agent_id]
    reports = _reports(connection, found, since, until, agent_id)
    return reports[0] if reports else None


def stream(connection: Connection, agent_id: str, *, number: int = 1, size: int = 50) -> Page[Card]:
    """Return all that Stella Connect reports on the agent, answered or not, latest closing first."""
    row, given = interaction.c, survey_response.c
    question = (
        select(given.uuid)
        .join(interaction)
        .where(row.agent_id == agent_id)
        .order_by(row.closed_at.desc(), row.id.desc(), given.uuid)
        .limit(COUNTED + 1)
    )
    keys = connection.execute(question).scalars().all()
    return paged(cards(connection, cut(keys, number, size)), keys, number, size)


def _reports(
    connection: Connection, agents: Iterable[Agent], since: datetime, until: datetime, agent_id: str | None = None
) -> list[AgentReport]:
    """Return the reports of these agents, in this order; `agent_id` if it is only one."""
    waiting, closed = _waiting(connection), _closed(connection, since, until, agent_id)
    answers, profiles = scores_by(connection, Group.AGENT, since, until, agent_id), _profiles(connection)
    reports = []
    for agent in agents:
        number, earliest, first_due = waiting.get(agent.id, (0, None, None))
        closings, sent, skipped = closed.get(agent.id, (0, 0, 0))
        reports.append(
            AgentReport(
                agent=agent,
                profile=profiles.get(agent.id, Profile.UNKNOWN),
                waiting=number,
                waiting_since=earliest,
                first_due_at=first_due,
                closed=closings,
                sent=sent,
                skipped_for_profile=skipped,
                answers=answers.get(agent.id, Scores()),
            )
        )
    return reports


def _waiting(connection: Connection) -> dict[str | None, tuple[int, datetime, datetime]]:
    row = interaction.c
    rows = connection.execute(
        select(row.agent_id, func.count(), func.min(row.closed_at), func.min(row.due_at))
        .where(state_is(State.PLANNED), row.agent_profile == "not_approved")
        .group_by(row.agent_id)
    )
    return {agent_id: (number, earliest, due) for agent_id, number, earliest, due in rows}


def _closed(
    connection: Connection, since: datetime, until: datetime, agent_id: str | None
) -> dict[str | None, tuple[int, int, int]]:
    """Return closings, sent, and skipped for the profile, of each agent or of one."""
    row = interaction.c
    counts = (
        func.count().label("closed"),
        func.count().filter(state_is(State.SENT)).label("sent"),
        func.count().filter(_NOT_APPROVED).label("skipped"),
    )
    in_span = (row.closed_at >= since, row.closed_at < until)
    if agent_id is None and connection.dialect.name == "postgresql":
        # Agent by agent along the index: half the work of a grouping, which hashes each row's agent.
        agents = each_value(row.agent_id)
        of_one = select(*counts).where(row.agent_id == agents.c.value, *in_span).lateral()
        question = select(agents.c.value, of_one).join_from(agents, of_one, true())
    else:
        of = row.agent_id.is_not(None) if agent_id is None else row.agent_id == agent_id
        question = select(row.agent_id, *counts).where(of, *in_span).group_by(row.agent_id)
    rows = connection.execute(question)
    return {agent_id: (closed, sent, skipped) for agent_id, closed, sent, skipped in rows}


def _profiles(connection: Connection) -> dict[str | None, Profile]:
    """Take the profile from the latest closing that shows it: from its release, else from the early warning."""
    row, closing = interaction.c, interaction.alias("closing")
    has_profile = or_(
        closing.c.agent_profile.is_not(None),
        closing.c.reason == Reason.AGENT_PROFILE_NOT_APPROVED,
        state_is(State.SENT, row=closing),
    )
    heard = case(
        (_NOT_APPROVED, Profile.NOT_APPROVED), (state_is(State.SENT), Profile.APPROVED), else_=row.agent_profile
    )
    agents = each_value(row.agent_id)
    rows = connection.execute(
        select(row.agent_id, heard)
        .select_from(agents)
        .join(interaction, row.id == latest_of(agents, has_profile, row=closing))
    )
    return {agent_id: Profile(word) for agent_id, word in rows}
