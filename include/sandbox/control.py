"""Endpoints of the sandbox itself, on both ports: `/` for people, `/_sandbox/...` for tests and the demo."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from include.sandbox import changes
from include.sandbox.kustomer.records import conversation_record, customer_record, user_record
from include.sandbox.model import Json
from include.sandbox.options import CHANGEABLE, change_options
from include.sandbox.page import page
from include.sandbox.state import State


def add_control(app: FastAPI, state: State) -> None:
    """Add the endpoints to an app."""

    @app.get("/")
    async def received_page() -> HTMLResponse:
        security = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(page(state), headers=security)

    @app.get("/_sandbox/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok", "conversations": len(state.organisation.conversations)})

    @app.get("/_sandbox/received")
    async def received(request: Request) -> JSONResponse:
        """`?start=N&limit=N` for a part of the accepted ones; `limit=0` for the counts alone."""
        start = int(request.query_params.get("start", "0"))
        limit = int(request.query_params.get("limit", str(len(state.received))))
        accepted = [
            {
                "received_at": utc(one.received_at),
                "duplicate": one.duplicate,
                "delivery_status": one.delivery_status,
                "request": one.request,
            }
            for one in state.received[start : start + limit]
        ]
        refused = [
            {
                "received_at": utc(one.received_at),
                "status": one.status,
                "error": one.name,
                "ext_interaction_id": one.ext_interaction_id,
            }
            for one in state.refused
        ]
        return JSONResponse({"counts": state.counts(), "accepted": accepted, "refused": refused})

    @app.get("/_sandbox/expected")
    async def expected(request: Request) -> JSONResponse:
        """`?closed_from=ISO&closed_to=ISO` for the closings of a window only."""
        given = request.query_params
        try:
            bounds = [changes.parse_instant(given.get(name)) for name in ("closed_from", "closed_to")]
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(expectation(state, bounds[0], bounds[1]))

    @app.get("/_sandbox/requests")
    async def requests() -> JSONResponse:
        return JSONResponse({"total": state.calls.total(), "calls": dict(sorted(state.calls.items()))})

    @app.get("/_sandbox/faults")
    async def active_faults() -> JSONResponse:
        return JSONResponse([fault.as_json() for fault in state.faults.active])

    @app.post("/_sandbox/faults")
    async def replace_faults(request: Request) -> JSONResponse:
        def replace(faults: Any) -> list[Json]:
            if not isinstance(faults, list):
                raise TypeError("a list of faults is needed")
            state.faults.replace(faults)
            return [fault.as_json() for fault in state.faults.active]

        return await _apply(request, replace)

    @app.get("/_sandbox/options")
    async def options() -> JSONResponse:
        return JSONResponse({name: getattr(state.options, name) for name in CHANGEABLE})

    @app.post("/_sandbox/options")
    async def set_options(request: Request) -> JSONResponse:
        return await _apply(request, lambda given: change_options(state.options, given))

    @app.post("/_sandbox/conversations")
    async def conversations(request: Request) -> JSONResponse:
        def change(given: Json) -> Json:
            return conversation_record(changes.change_conversation(state, given), state.organisation)

        return await _apply(request, lambda given: _each(given, change))

    @app.post("/_sandbox/customers")
    async def customers(request: Request) -> JSONResponse:
        return await _apply(
            request,
            lambda given: _each(given, lambda one: customer_record(changes.change_customer(state, one))),
        )

    @app.post("/_sandbox/employees")
    async def employees(request: Request) -> JSONResponse:
        def change(given: Json) -> Json:
            employee = changes.change_employee(state, given)
            return {"email": employee.email, "status": employee.status}

        return await _apply(request, lambda given: _each(given, change))

    @app.post("/_sandbox/users")
    async def users(request: Request) -> JSONResponse:
        return await _apply(
            request, lambda given: _each(given, lambda one: user_record(changes.change_user(state, one)))
        )


async def _apply(request: Request, change: Callable[[Any], Any]) -> JSONResponse:
    try:
        return JSONResponse(change(await request.json()))
    except (AttributeError, TypeError, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)


def _each(given: Any, change: Callable[[Json], Json]) -> Any:
    """Apply a change to one object or to each of a list."""
    return [change(one) for one in given] if isinstance(given, list) else change(given)


def expectation(state: State, closed_from: int | None = None, closed_to: int | None = None) -> Json:
    """Return what ought to be received for closings in [closed_from, closed_to), beside what was.

    Conversations that never were closed belong to no window and are listed always.
    """
    sent: list[str] = []
    quiet: list[str] = []
    others: dict[str, str] = {}
    for one in state.organisation.conversations.values():
        if one.closed_at is not None and (
            (closed_from is not None and one.closed_at < closed_from)
            or (closed_to is not None and one.closed_at >= closed_to)
        ):
            continue
        if one.expected == "sent":
            sent.append(one.id)
            if one.expected_do_not_send:
                quiet.append(one.id)
        else:
            others[one.id] = one.expected
    wanted, silent = set(sent), set(quiet)
    had = {one.request["ext_interaction_id"]: one.request for one in state.received}
    conversations = state.organisation.conversations
    wrong = [
        id_
        for id_ in sent
        if id_ in had
        and (
            bool(had[id_].get("do_not_send")) != (id_ in silent)
            or had[id_]["employee"].get("email") != conversations[id_].expected_employee
            or had[id_]["customer"]["email"] != conversations[id_].expected_customer
        )
    ]
    return {
        "sent": sent,
        "do_not_send": quiet,
        "others": others,
        "reasons": dict(Counter(others.values())),
        "difference": {
            "missing": [id_ for id_ in sent if id_ not in had],
            "unexpected": [id_ for id_ in had if id_ not in wanted],
            "wrong_content": wrong,
            "duplicates": [id_ for id_, count in state.by_interaction.items() if count > 1],
        },
    }


def utc(instant: float) -> str:
    """Write epoch seconds as an ISO time in UTC."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")
