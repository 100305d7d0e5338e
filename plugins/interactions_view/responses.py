"""Survey responses: cards, and averages by day and by agent."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.interactions.feedback_request import link_to
from include.ledger.reports import agents
from include.ledger.reports import responses as reports
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import ResponsesQuery, midnight
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source

router = APIRouter()

WEEK = timedelta(days=7)


@router.get("/responses")
def show(request: Request, visitor: VisitorDep, asked: ResponsesQuery) -> HTMLResponse:
    """Show the answers, newest first, with averages."""
    until = midnight(datetime.now(UTC).date() + timedelta(days=1))
    since = until - timedelta(days=int(asked.days))
    found = source(visitor.organisation)
    with found.read() as connection:
        cards = reports.page(connection, asked.filter(since, until), number=asked.page)
        by_day = reports.averages_by_day(connection, since, until, asked.agent)
        by_agent = reports.averages_by_agent(connection, since, until)
        known = agents.known(connection)
    web_url = found.web_url
    tickets = {
        card.uuid: link_to(web_url, card.customer.id, card.conversation_id)
        for card in cards.rows
        if web_url and card.customer.id
    }
    # Start at the first answer, so that a new desk sees no empty chart; show at least a week.
    first = max(since.date(), min([*by_day, (until - WEEK).date()]))
    days = [first + timedelta(days=number) for number in range((until.date() - first).days)]
    return page(
        request,
        "responses.html",
        view="responses",
        visitor=visitor,
        asked=asked,
        found=cards,
        tickets=tickets,
        days=[(day, by_day.get(day)) for day in days],
        by_agent=by_agent,
        answered=sum(one.answered for one in by_day.values()),
        agents=known,
    )
