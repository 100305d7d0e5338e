"""The form through which people act: filled in here, sent by their browser to Airflow, which starts the admin DAG.

Airflow 3.3 has no address that opens its own trigger form filled in. The browser sends what that form would send to
the same public API, with the visitor's own login: Airflow's rights, Params and audit log apply.
"""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.ledger.reports import agents
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import ActQuery
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source
from plugins.pipeline.admin import ACTS

router = APIRouter()


@router.get("/act")
def show(request: Request, visitor: VisitorDep, asked: ActQuery) -> HTMLResponse:
    """The form of one act."""
    agent = None
    if asked.agent:
        with source(visitor.organisation).read() as connection:
            agent = next((one for one in agents.known(connection) if one.id == asked.agent), None)
    return page(request, "act.html", view="", visitor=visitor, asked=asked, acts=ACTS, agent=agent)
