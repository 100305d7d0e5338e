"""Survey responses: cards, and what they say in numbers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.interactions.links import link_to
from include.ledger.reports import responses as reports
from include.ledger.reports import scores
from include.ledger.reports.people import FORGOTTEN, Agent, list_agents
from include.ledger.reports.scores import Group, Reach, Scores
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import ResponsesQuery, midnight
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source

router = APIRouter()

WEEK = timedelta(days=7)
MAX_GROUPS = 50
"""Groups in the table; those with most answers, or the latest days."""
MAX_AREAS = 8
"""Areas in the chart, of either kind."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A line of the table: an agent, or the name of another group (None: answers without one)."""

    agent: Agent | None
    name: str | None
    scores: Scores
    reach: Reach


@router.get("/responses")
def show(request: Request, visitor: VisitorDep, asked: ResponsesQuery) -> HTMLResponse:
    """Show the answers, newest first, below their numbers."""
    until = midnight(datetime.now(UTC).date() + timedelta(days=1))
    since = until - timedelta(days=int(asked.days))
    found = source(visitor.organisation)
    with found.read() as connection:
        cards = reports.page(connection, asked.filter(since, until), number=asked.page)
        by_day = scores.scores_by(connection, Group.DAY, since, until, asked.agent)
        by_group = by_day
        if asked.by is not Group.DAY:
            by_group = scores.scores_by(connection, asked.by, since, until, asked.agent)
        reach = scores.reach_by(connection, asked.by, since, until, asked.agent)
        areas = scores.areas(connection, since, until, asked.agent)
        known = list_agents(connection)
    web_url = found.web_url
    tickets = {
        card.uuid: link_to(web_url, card.customer.id, card.conversation_id)
        for card in cards.rows
        if web_url and card.customer.id
    }
    # Start at the first answer, so that a new desk sees no empty chart; show at least a week.
    first = max(since.date(), min([*by_day, (until - WEEK).date()]))
    days = [first + timedelta(days=number) for number in range((until.date() - first).days)]
    groups = group_rows(asked.by, by_group, reach, known)
    return page(
        request,
        "responses.html",
        view="responses",
        visitor=visitor,
        asked=asked,
        found=cards,
        tickets=tickets,
        days=[(day, by_day.get(day)) for day in days],
        groups=groups[:MAX_GROUPS],
        hidden_groups=max(0, len(groups) - MAX_GROUPS),
        total=sum(by_day.values(), Scores()),
        reach=sum(reach.values(), Reach()),
        areas=areas,
        area_rows=area_rows(areas),
        agents=known,
    )


def group_rows(
    group: Group, by_group: dict[Any, Scores], reach: dict[Any, Reach], agents_known: list[Agent]
) -> list[GroupRow]:
    """Return the lines of the table: days from the latest, other groups from the one with most answers."""
    keys = list(by_group)
    if group is Group.DAY:
        keys.sort(reverse=True)
    else:
        keys.sort(key=lambda key: (-by_group[key].answered, str(key)))
    by_id = {agent.id: agent for agent in agents_known}
    return [
        GroupRow(
            agent=by_id.get(key, FORGOTTEN) if group is Group.AGENT else None,
            name=f"{key:%-d %b %Y}" if group is Group.DAY else key,
            scores=by_group[key],
            reach=reach.get(key, Reach()),
        )
        for key in keys
    ]


def area_rows(areas: scores.Areas) -> list[tuple[str, int, int]]:
    """Return the areas of the chart: name, how often it was praised, how often it should be better."""
    names = dict.fromkeys([*list(areas.excellence)[:MAX_AREAS], *list(areas.improvement)[:MAX_AREAS]])
    return [(name, areas.excellence.get(name, 0), areas.improvement.get(name, 0)) for name in names]
