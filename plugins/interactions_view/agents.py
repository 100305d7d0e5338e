"""Agents: who cannot receive feedback, what waits because of that, and the reports on each agent."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from include.ledger.reports import agents as reports
from include.ledger.reports.agents import AgentReport, Profile
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import AgentsQuery, StreamQuery
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source

router = APIRouter()


@router.get("/agents")
def show(request: Request, visitor: VisitorDep, asked: AgentsQuery) -> HTMLResponse:
    """List every agent, first those whose profile needs an approval."""
    now = datetime.now(UTC)
    with source(visitor.organisation).read() as connection:
        found = reports.report(connection, now - timedelta(days=int(asked.days)), now)
    return page(
        request,
        "agents.html",
        view="agents",
        visitor=visitor,
        asked=asked,
        to_do=[report for report in found if _needs_a_person(report)],
        others=[report for report in found if not _needs_a_person(report)],
    )


@router.get("/agents/{agent_id}")
def stream(request: Request, visitor: VisitorDep, agent_id: str, asked: StreamQuery) -> HTMLResponse:
    """Show one agent with the reports of Stella Connect."""
    now = datetime.now(UTC)
    with source(visitor.organisation).read() as connection:
        report = reports.report_agent(connection, agent_id, now - timedelta(days=int(asked.days)), now)
        if report is None:
            raise HTTPException(404, "The ledger does not know this agent.")
        cards = reports.stream(connection, agent_id, number=asked.page)
    return page(
        request,
        "agent.html",
        view="agents",
        visitor=visitor,
        asked=asked,
        report=report,
        found=cards,
    )


def _needs_a_person(report: AgentReport) -> bool:
    return bool(report.waiting) or report.profile is Profile.NOT_APPROVED
