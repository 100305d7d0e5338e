"""The simulator of Stella Connect's API."""

import asyncio
import math
import re
import time
from datetime import datetime
from typing import Any

import jwt
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from include.sandbox.control import add_control
from include.sandbox.model import PROFILE_STATUSES, Employee, Json, Organisation
from include.sandbox.options import STELLA_KEY, STELLA_SECRET, Options
from include.sandbox.state import Received, Refused, State
from include.sandbox.stella_connect import data_return
from include.sandbox.stella_connect.requests import Account, RefusedRequest, check, check_recovery

CLOCK_SKEW = 300
"""Seconds by which a JWT's `iat` may differ from our clock; the vendor's own figure is unknown."""

_OFFSET_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", re.ASCII)
_EMPLOYEE_PARAMETERS = {"external_id", "after", "number_of_employees", "status", "q"}
_NOT_OFFERED = {"employee_status", "team_leader_ids", "reporting_groups", "roles"}


class StellaError(Exception):
    """A refusal other than that of a feedback request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def stella_app(state: State) -> FastAPI:
    """Return the app over this state."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    add_control(app, state)

    @app.exception_handler(StellaError)
    async def refused(_: Request, error: StellaError) -> JSONResponse:
        return JSONResponse({"message": error.message}, error.status)

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"message": error.detail}, error.status_code)

    calls = Calls(state)
    app.add_api_route("/v1/requests", calls.create_request, methods=["POST"])
    app.add_api_route("/v1/recoveries", calls.create_recovery, methods=["POST"])
    app.add_api_route("/v2/employees", calls.employees, methods=["GET"])
    app.add_api_route("/v2/employees/{id_}", calls.employee, methods=["GET"])
    app.add_api_route("/v2/data", calls.data, methods=["GET"])
    return app


class Calls:
    """The answer to each call."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def create_request(self, request: Request) -> JSONResponse:
        """Take a feedback request, or refuse it with the vendor's name for the error."""
        check_key(request)
        state, now = self.state, time.time()
        given = None
        try:
            given = await json_body(request)
            kept = check(given, state.organisation.employees, self._account())
        except RefusedRequest as error:
            return self._refuse(given, error, now)
        accept(state, kept, now)
        await wait_after_accepting(state)
        return JSONResponse(kept)

    async def create_recovery(self, request: Request) -> JSONResponse:
        """Take a service recovery of an earlier request, or refuse it (fact sheet, section 4.6)."""
        check_key(request)
        state, now = self.state, time.time()
        given = None
        try:
            given = await json_body(request)
            kept = check_recovery(given, state.organisation.employees)
        except RefusedRequest as error:
            return self._refuse(given, error, now)
        first = state.data_return.find_first_request(kept)
        if first is None:
            return self._refuse(kept, RefusedRequest("Validation Error", "there is no such initial request"), now)
        status = "Not sent: do not send flag" if kept.get("do_not_send") else "Sent"
        duplicate = any(
            recovery.request["ext_interaction_id"] == kept["ext_interaction_id"] for recovery in state.recoveries
        )
        state.recoveries.append(Received(now, kept, duplicate, status))
        await wait_after_accepting(state)
        return JSONResponse({"request_id": state.data_return.add_recovery(kept, first, now, status)})

    def _refuse(self, given: Any, refusal: RefusedRequest, now: float) -> JSONResponse:
        interaction = given.get("ext_interaction_id") if isinstance(given, dict) else None
        self.state.refused.append(Refused(now, 400, refusal.name, str(interaction) if interaction else None))
        return JSONResponse({"error": refusal.name, "message": refusal.message}, 400)

    def _account(self) -> Account:
        options = self.state.options
        brands = options.stella_brands or (self.state.organisation.subdomain,)
        return Account(brands, options.stella_languages, options.stella_channels)

    async def employees(self, request: Request) -> JSONResponse:
        """Return a page of employees."""
        check_key(request)
        check_jwt(request, self.state)
        organisation = self.state.organisation
        return JSONResponse(employee_page(request, organisation, self.state.options))

    async def employee(self, request: Request, id_: str) -> JSONResponse:
        """Return one employee by address or custom id."""
        check_key(request)
        check_jwt(request, self.state)
        for employee in self.state.organisation.employees:
            if id_ in (employee.email, employee.custom_id):
                return JSONResponse(employee_record(employee))
        raise StellaError(404, "Not Found")

    async def data(self, request: Request) -> JSONResponse:
        """Return a page of Data Return."""
        check_key(request)
        check_jwt(request, self.state)
        standing = self.state.data_budget.take()
        if standing is not None and not standing.allowed:
            raise StellaError(429, "Too Many Requests")
        return JSONResponse(data_page(request, self.state))


async def json_body(request: Request) -> Any:
    """Return the parsed body. Raises RefusedRequest when it is not JSON or does not say so."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedRequest("Validation Error", "content-type must be application/json")
    try:
        return await request.json()
    except ValueError as error:
        raise RefusedRequest("Validation Error", "the body is not JSON") from error


def check_key(request: Request) -> None:
    """Refuse a call without the API key: 403, never 401 (fact sheet, section 1)."""
    if request.headers.get("x-api-key") != STELLA_KEY:
        raise StellaError(403, "Forbidden")


def check_jwt(request: Request, state: State) -> None:
    """Refuse a call whose `Authorization` is not a fresh HS256 token with an integer `iat`."""
    token = request.headers.get("authorization", "")
    if state.options.require_bearer and not token.startswith("Bearer "):
        raise StellaError(403, "Forbidden")
    if state.options.accept_bearer or state.options.require_bearer:
        token = token.removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, STELLA_SECRET, ["HS256"], options={"require": ["iat"], "verify_iat": False})
    except jwt.InvalidTokenError as error:
        raise StellaError(403, "Forbidden") from error
    issued = claims["iat"]
    if type(issued) is not int or abs(time.time() - issued) > CLOCK_SKEW:
        raise StellaError(403, "Forbidden")


async def wait_after_accepting(state: State) -> None:
    """Keep the caller of a POST waiting; the stop of the sandbox ends it."""
    options = state.options
    slow = options.slow_post_every > 0 and len(state.received) % options.slow_post_every == 0
    ends = time.monotonic() + (options.slow_post_seconds if slow else options.post_seconds)
    while (left := ends - time.monotonic()) > 0 and not state.stopping:
        await asyncio.sleep(min(left, 0.2))


def accept(state: State, request: Json, now: float) -> None:
    """Take in a feedback request; suppression is decided here, unseen by the caller."""
    interaction = request["ext_interaction_id"]
    address = request["customer"]["email"]
    status = "Sent"
    if request.get("do_not_send"):
        status = "Not sent: do not send flag"
    elif now < state.last_survey.get(address, -math.inf) + 86400 * state.options.suppression_days:
        status = "Not sent: suppression period"
    else:
        state.last_survey[address] = now
    state.by_interaction[interaction] += 1
    duplicate = state.by_interaction[interaction] > 1
    state.received.append(Received(now, request, duplicate, status))
    state.data_return.add(request, now, status)


def employee_page(request: Request, organisation: Organisation, options: Options) -> Json:
    """Return one page of employees.

    The rows tell no status, and `next_page` leads to another host and forgets every filter (section 3.2).
    """
    given = request.query_params
    for name in given:
        if name in _NOT_OFFERED:
            raise StellaError(400, f"{name} is not offered by this sandbox")
        if name not in _EMPLOYEE_PARAMETERS:
            raise StellaError(400, f"unknown parameter {name}")
    size_text = given.get("number_of_employees", "100")
    size = int(size_text) if size_text.isascii() and size_text.isdigit() else 0
    if not 1 <= size <= 500:
        raise StellaError(400, "number_of_employees must be from 1 to 500")
    chosen = sorted(organisation.employees, key=lambda employee: employee.id)
    status = given.get("status")
    if status is not None:
        if status not in PROFILE_STATUSES:
            raise StellaError(400, "unknown status")
        chosen = [employee for employee in chosen if options.ignore_status or employee.status == status]
    if part := given.get("q", "").lower():
        chosen = [employee for employee in chosen if part in _searchable(employee)]
    last = given.get("after", given.get("external_id"))
    if last is not None:
        if not (last.isascii() and last.isdigit()):
            raise StellaError(400, "after must be the id of an employee")
        chosen = [employee for employee in chosen if employee.id > int(last)]
    rows = chosen[:size]
    next_page = None
    if len(chosen) > size:
        place = f"/{rows[-1].id}" if options.next_page_in_path else f"?after={rows[-1].id}"
        next_page = f"https://{organisation.subdomain}.stellaconnect.net/api/v2/employees{place}"
    return {"employees": [employee_record(employee) for employee in rows], "meta": {"next_page": next_page}}


def _searchable(employee: Employee) -> str:
    return f"{employee.first_name} {employee.last_name} {employee.email} {employee.custom_id}".lower()


def employee_record(employee: Employee) -> Json:
    """Write an employee: neither the profile's status nor the id used for paging is in it."""
    return {
        "email": employee.email,
        "custom_employee_id": employee.custom_id,
        "first_name": employee.first_name,
        "last_name": employee.last_name,
        "team_leader_id": 17,
        "team_leader_email": "leader@example.org",
        "role": "Customer Care Professional",
        "license_type": "standard",
        "channels": ["email", "chat", "phone"],
        "employment_status": "full-time",
        "start_date": "2024-03-01",
        "hometown": None,
        "state_or_country": None,
        "profile_text": "",
        "image": None,
        "groups": ["Support"],
        "manage_team": False,
        "last_active": None,
    }


def data_page(request: Request, state: State) -> list[Json]:
    """Return one page of Data Return, the lowest sequence numbers first."""
    given = request.query_params
    after, limit = _whole(given.get("after"), "after"), _whole(given.get("limit"), "limit")
    if limit is None:
        limit = 1000
    if not 1 <= limit <= 1000:
        raise StellaError(400, "limit must be from 1 to 1000")
    bounds = {
        name: _instant(given[name], name)
        for name in ("created_at_gte", "created_at_lte", "responded_at_gte", "responded_at_lte")
        if name in given
    }
    if given.get("stream", "false") != "false":
        raise StellaError(400, "stream is not offered by this sandbox")
    with_recoveries = given.get("include_recovery", "false") == "true"
    rows = []
    for row in state.data_return.rows(after):
        if row.parent_uuid and not with_recoveries:
            continue
        if _inside(row.created_at, "created_at", bounds) and _inside(row.answered_at, "responded_at", bounds):
            rows.append(row)
            if len(rows) == limit:
                break
    employees = {employee.email: employee for employee in state.organisation.employees}
    found = [data_return.record(row, employees, state.organisation.subdomain) for row in rows]
    if state.options.data_without_ids:
        found = [record | {"ext_interaction_id": None, "custom_properties": {}} for record in found]
    return found[::-1] if state.options.data_newest_first else found


def _whole(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise StellaError(400, f"{name} must be a whole number")
    return int(text)


def _instant(text: str, name: str) -> float:
    """Read a time with a numeric offset; a `+` that was not percent-encoded arrives as a space and is refused."""
    try:
        if _OFFSET_TIME.fullmatch(text):
            return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    raise StellaError(400, f"{name} must look like 2025-12-20T00:00:00-05:00")


def _inside(instant: float | None, name: str, bounds: dict[str, float]) -> bool:
    lower, upper = bounds.get(f"{name}_gte"), bounds.get(f"{name}_lte")
    if lower is None and upper is None:
        return True
    return instant is not None and (lower is None or instant >= lower) and (upper is None or instant <= upper)
