"""The page's app: views behind Airflow's login, headers, and an error page for each kind of failure."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException

from include.ledger.reports.readiness import Readiness, readiness
from plugins.interactions_view import action, agents, interactions, overview, responses, rules, vendors
from plugins.interactions_view.access import visitor
from plugins.interactions_view.queries import Parameters
from plugins.interactions_view.rendering import HERE, page
from plugins.interactions_view.source import NoSourceError, source

log = logging.getLogger(__name__)

HEADERS = {
    # No inline script or style, nothing from other hosts, and only Airflow's UI may frame the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ASSET_SECONDS = 30 * 24 * 3600
"""A year: an asset's address changes with its content."""

app = FastAPI(
    title="Interactions",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[Depends(visitor)],
)
# Each view with its tab: path, label, icon. The form of an action has none.
VIEWS = (
    (overview, ("", "Overview", "layout-dashboard")),
    (interactions, ("list", "Interactions", "list")),
    (agents, ("agents", "Agents", "users")),
    (responses, ("responses", "Responses", "message-square-text")),
    (rules, ("rules", "Rules", "workflow")),
    (vendors, ("vendors", "Vendors", "heart-pulse")),
    (action, None),
)
for view, _ in VIEWS:
    app.include_router(view.router)
    app.include_router(view.router, prefix="/of/{organisation}")
app.state.tabs = [tab for _, tab in VIEWS if tab]
# Open to everyone: these files are the same in every copy of this repository.
app.mount("/static", StaticFiles(directory=HERE / "static"))


@app.middleware("http")
async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    if "/static/" in request.url.path and response.status_code == 200:
        seconds = ASSET_SECONDS if "v" in request.query_params else 3600
        response.headers["Cache-Control"] = f"public, max-age={seconds}"
    return response


@app.exception_handler(StarletteHTTPException)
def _refused(request: Request, refusal: HTTPException) -> Response:
    return _problem(request, refusal.status_code, str(refusal.detail))


@app.exception_handler(RequestValidationError)
def _wrong_parameters(request: Request, wrong: RequestValidationError) -> Response:
    return _problem(request, 422, "Wrong parameters", faults=[_fault(fault) for fault in wrong.errors()])


@app.exception_handler(NoSourceError)
def _no_source(request: Request, failure: NoSourceError) -> Response:
    return _problem(request, 503, str(failure), kind="no_source")


@app.exception_handler(SQLAlchemyError)
def _no_ledger(request: Request, failure: SQLAlchemyError) -> Response:
    ready = readiness(source(request.state.interactions_of).ledger)
    log.warning("interactions_view.failed ledger=%s error=%s", ready, type(failure).__name__, exc_info=failure)
    # If the ledger is ready, one question took too long or an outage has just ended.
    kind = "slow" if ready is Readiness.READY else str(ready)
    return _problem(request, 503, "The ledger cannot be read", kind=kind)


def _problem(
    request: Request, status: int, message: str, kind: str = "", faults: list[dict[str, str]] | None = None
) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": faults or message, **({"kind": kind} if kind else {})}, status)
    return page(
        request, "problem.html", status, message=message, kind=kind or str(status), faults=faults or [], view=None
    )


def _fault(error: Any) -> dict[str, str]:
    """Describe one wrong parameter: its name, the given value, and what is allowed."""
    name = next((str(part) for part in error["loc"][1:]), "?")
    described = {
        field.alias or key: field.description or ""
        for model in Parameters.__subclasses__()
        for key, field in model.model_fields.items()
    }
    if error["type"] == "extra_forbidden":
        return {"parameter": f"{name:.80}", "problem": "this parameter does not exist", "allowed": ""}
    return {
        "parameter": f"{name:.80}",
        "problem": f"{error['input']!r:.80} is not allowed",
        "allowed": described.get(name, ""),
    }
