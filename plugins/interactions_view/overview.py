"""The overview: today's closings by stage, due interactions, and what needs a person."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.ledger.reports import overview as reports
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import Ahead, OverviewQuery, Period
from plugins.interactions_view.rendering import Links, page
from plugins.interactions_view.source import source
from plugins.runtime.organisations import of_dag

router = APIRouter()

DAY = timedelta(days=1)
LATENESS_SPAN = DAY
AHEAD = {
    Ahead.HOURS: (timedelta(hours=6), timedelta(minutes=10)),
    Ahead.DAY: (DAY, timedelta(minutes=30)),
}
"""How far to look ahead, and the width of each step."""
STALE = timedelta(hours=2)
"""An hour is read when it has ended. If it takes longer than this, the hourly runs do not succeed."""


@router.get("/")
def show(request: Request, visitor: VisitorDep, asked: OverviewQuery) -> HTMLResponse:
    """Show the overview."""
    now = datetime.now(UTC)
    closed_from, closed_until = bounds_of(asked.span, now)
    length, width = AHEAD[asked.ahead]
    due_from = datetime.fromtimestamp(now.timestamp() // width.total_seconds() * width.total_seconds(), UTC)
    found = source(visitor.organisation)
    with found.read() as connection:
        funnel = reports.funnel(connection, closed_from, closed_until)
        due = reports.falling_due(connection, due_from, due_from + length, width)
        lateness = reports.lateness(connection, now - LATENESS_SPAN, now)
        alarms = reports.alarms(connection, now)
        activity = reports.activity(connection)
    covered = activity.watermark.covered_until if activity.watermark else None
    return page(
        request,
        "overview.html",
        view="",
        visitor=visitor,
        asked=asked,
        closed_from=closed_from,
        closed_until=closed_until,
        funnel=funnel,
        due=due,
        width=width,
        lateness=lateness,
        alarms=alarms,
        activity=activity,
        covered=covered,
        first_day=closed_from.date(),
        last_day=(closed_until - DAY).date(),
        stale=covered is not None and covered < now - STALE,
    )


@router.get("/dag/{dag_id}")
def tab_of(request: Request, dag_id: str) -> Response:
    """Show the tab of a DAG: the overview, or a note that this DAG has no interactions."""
    if organisation := of_dag(dag_id):
        return RedirectResponse(Links(request).of(organisation))
    return page(request, "problem.html", view=None, kind="other_dag", message="", faults=[])


def bounds_of(span: Period, now: datetime) -> tuple[datetime, datetime]:
    """Return the days of a span of closings: [from, until), whole days in UTC."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match span:
        case Period.TODAY:
            return today, today + DAY
        case Period.YESTERDAY:
            return today - DAY, today
        case Period.WEEK:
            return today - 6 * DAY, today + DAY
