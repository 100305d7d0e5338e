"""The form for actions: the browser sends it to Airflow, which starts the admin DAG.

Airflow 3.3 has no address that opens its own trigger form with values. The browser therefore sends the same
request to the same public API, with the visitor's own login, so Airflow's rights, Params and audit log apply.
"""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.ledger.reports.people import list_agents
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.queries import ActionQuery
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source
from plugins.pipeline.actions import ACTIONS

router = APIRouter()


@router.get("/action")
def show(request: Request, visitor: VisitorDep, asked: ActionQuery) -> HTMLResponse:
    """Show the form of one action."""
    agent = None
    if asked.agent:
        with source(visitor.organisation).read() as connection:
            agent = next((agent for agent in list_agents(connection) if agent.id == asked.agent), None)
    given = asked.model_dump(exclude={"action", "agent"}, exclude_none=True, mode="json")
    if agent and visitor.sees_personal_data and agent.email:
        given["agent_email"] = agent.email
    return page(
        request,
        "action.html",
        view=None,
        visitor=visitor,
        asked=asked,
        action=ACTIONS[asked.action],
        given=given,
        agent=agent,
    )
