"""Rules: what each did with the closings of a span, and the last simulation."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.ledger.reports import rules as reports
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import RulesQuery
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source

router = APIRouter()


@router.get("/rules")
def show(request: Request, visitor: VisitorDep, asked: RulesQuery) -> HTMLResponse:
    """Show each rule with its outcomes."""
    found = source(visitor.organisation)
    with found.read() as connection:
        rules = reports.report(connection, datetime.now(UTC) - timedelta(days=int(asked.days)))
        simulation = reports.last_simulation(connection)
    return page(
        request,
        "rules.html",
        view="rules",
        visitor=visitor,
        asked=asked,
        rules=rules,
        most=max((rule.closings for rule in rules), default=0),
        simulation=simulation,
        most_simulated=max((rule["closings"] for rule in simulation["rules"]), default=0) if simulation else 0,
    )
