"""Endpoints of the sandbox itself, on both ports: `/` for people, `/_sandbox/...` for tests and the demo."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse

from include.sandbox import changes
from include.sandbox.kustomer.records import conversation_record, customer_record, user_record
from include.sandbox.model import Conversation, Json
from include.sandbox.options import CHANGEABLE, change_options
from include.sandbox.page import page
from include.sandbox.state import State


def add_control(app: FastAPI, state: State) -> None:
    """Add the endpoints to an app."""
    calls = _Calls(state)
    for path, answers in (
        ("/", calls.received_page),
        ("/_sandbox/health", calls.health),
        ("/_sandbox/received", calls.received),
        ("/_sandbox/expected", calls.expected),
        ("/_sandbox/requests", calls.requests),
        ("/_sandbox/faults", calls.active_faults),
        ("/_sandbox/options", calls.options),
    ):
        app.add_api_route(path, answers, methods=["GET"])
    for path, changes_one in (
        ("/_sandbox/faults", calls.replace_faults),
        ("/_sandbox/options", lambda given: change_options(state.options, given)),
        ("/_sandbox/conversations", calls.each(calls.change_conversation)),
        ("/_sandbox/customers", calls.each(lambda given: customer_record(changes.change_customer(state, given)))),
        ("/_sandbox/employees", calls.each(calls.change_employee)),
        ("/_sandbox/users", calls.each(lambda given: user_record(changes.change_user(state, given)))),
    ):
        app.add_api_route(path, _applying(changes_one), methods=["POST"])


class _Calls:
    """The answer to each call."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def received_page(self) -> HTMLResponse:
        security = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(page(self.state), headers=security)

    async def health(self) -> JSONResponse:
        return JSONResponse({"status": "ok", "conversations": len(self.state.organisation.conversations)})

    async def received(self, request: Request) -> JSONResponse:
        """`?start=N&limit=N` for a part of the accepted ones; `limit=0` for the counts alone."""
        state = self.state
        start = int(request.query_params.get("start", "0"))
        limit = int(request.query_params.get("limit", str(len(state.received))))
        accepted = [
            {
                "received_at": utc(received.received_at),
                "duplicate": received.duplicate,
                "delivery_status": received.delivery_status,
                "request": received.request,
            }
            for received in state.received[start : start + limit]
        ]
        refused = [
            {
                "received_at": utc(refusal.received_at),
                "status": refusal.status,
                "error": refusal.name,
                "ext_interaction_id": refusal.ext_interaction_id,
            }
            for refusal in state.refused
        ]
        return JSONResponse({"counts": state.counts(), "accepted": accepted, "refused": refused})

    async def expected(self, request: Request) -> JSONResponse:
        """`?closed_from=ISO&closed_to=ISO` for the closings of a window only."""
        given = request.query_params
        try:
            bounds = [changes.parse_instant(given.get(name)) for name in ("closed_from", "closed_to")]
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(expectation(self.state, bounds[0], bounds[1]))

    async def requests(self) -> JSONResponse:
        return JSONResponse({"total": self.state.calls.total(), "calls": dict(sorted(self.state.calls.items()))})

    async def active_faults(self) -> JSONResponse:
        return JSONResponse([fault.as_json() for fault in self.state.faults.active])

    async def options(self) -> JSONResponse:
        return JSONResponse({name: getattr(self.state.options, name) for name in CHANGEABLE})

    def replace_faults(self, faults: Any) -> list[Json]:
        if not isinstance(faults, list):
            raise TypeError("a list of faults is needed")
        self.state.faults.replace(faults)
        return [fault.as_json() for fault in self.state.faults.active]

    def change_conversation(self, given: Json) -> Json:
        return conversation_record(changes.change_conversation(self.state, given), self.state.organisation)

    def change_employee(self, given: Json) -> Json:
        employee = changes.change_employee(self.state, given)
        return {"email": employee.email, "status": employee.status}

    def each(self, change: Callable[[Json], Json]) -> Callable[[Any], Any]:
        """Return what applies a change to one object or to each of a list."""
        return lambda given: [change(entry) for entry in given] if isinstance(given, list) else change(given)


def _applying(change: Callable[[Any], Any]) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def apply(request: Request) -> JSONResponse:
        try:
            return JSONResponse(change(await request.json()))
        except (AttributeError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return apply


def expectation(state: State, closed_from: int | None = None, closed_to: int | None = None) -> Json:
    """Return the requests expected for closings in [closed_from, closed_to), and how the received ones differ.

    Conversations that never were closed belong to no window and are listed always.
    """
    start, end = closed_from or 0, math.inf if closed_to is None else closed_to
    every = state.organisation.conversations.values()
    chosen = [
        conversation
        for conversation in every
        if conversation.closed_at is None or start <= conversation.closed_at < end
    ]
    sent = [conversation.id for conversation in chosen if conversation.expected == "sent"]
    others = {conversation.id: conversation.expected for conversation in chosen if conversation.expected != "sent"}
    return {
        "sent": sent,
        "do_not_send": [
            conversation.id
            for conversation in chosen
            if conversation.expected == "sent" and conversation.expected_do_not_send
        ],
        "others": others,
        "reasons": dict(Counter(others.values())),
        "difference": _difference(state, sent),
    }


def _difference(state: State, wanted: list[str]) -> Json:
    """Return how what was received differs from what was wanted."""
    had = {received.request["ext_interaction_id"]: received.request for received in state.received}

    def is_wrong(conversation: Conversation, request: Json) -> bool:
        return (
            bool(request.get("do_not_send")) != conversation.expected_do_not_send
            or request["employee"].get("email") != conversation.expected_employee
            or request["customer"]["email"] != conversation.expected_customer
        )

    conversations, known = state.organisation.conversations, set(wanted)
    return {
        "missing": [id_ for id_ in wanted if id_ not in had],
        "unexpected": [id_ for id_ in had if id_ not in known],
        "wrong_content": [id_ for id_ in wanted if id_ in had and is_wrong(conversations[id_], had[id_])],
        "duplicates": [id_ for id_, count in state.by_interaction.items() if count > 1],
    }


def utc(instant: float) -> str:
    """Write epoch seconds as an ISO time in UTC."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds")
