"""The stand-in for Kustomer's REST API."""

import time
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import TypeVar

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from include.sandbox.control import add_control
from include.sandbox.kustomer import records, search
from include.sandbox.kustomer.errors import KustomerError
from include.sandbox.kustomer.lists import add_lists
from include.sandbox.limits import Standing
from include.sandbox.model import Customer, Json, User
from include.sandbox.state import State

T = TypeVar("T")

MAX_IDS = 100
"""Ids in one path; the vendor's own limit is unknown."""


def kustomer_app(state: State) -> FastAPI:
    """Return the app over this state."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    organisation = state.organisation
    searches = search.Searches(state)
    add_control(app, state)

    @app.exception_handler(KustomerError)
    async def refused(request: Request, error: KustomerError) -> Response:
        return answer(request, error.body(), error.status)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        known = KustomerError(error.status_code, HTTPStatus(error.status_code).phrase)
        return answer(request, known.body(), error.status_code)

    def allow(request: Request, *roles: str) -> str:
        """Check key, budget and roles, in this order; return the key."""
        key = bearer(request)
        if key not in state.kustomer_tokens:
            raise KustomerError(401, "Unauthorized")
        held = state.kustomer_tokens[key]
        if held is None:
            raise KustomerError(401, "Expired token")
        spend(request, state.org_budget.take(), state)
        if roles and not any(covers(have, need) for have in held for need in roles):
            raise KustomerError(403, f"one of these roles is required: {', '.join(roles)}")
        return key

    @app.get("/v1/auth/tokens/current")
    async def current_token(request: Request) -> Response:
        key = allow(request)
        attributes = {
            "name": "Sandbox key",
            "roles": list(state.kustomer_tokens[key] or ()),
            "lastTokenChars": key[-4:],
            "ipAddress": None,
        }
        return answer(request, {"data": {"type": "auth_token", "id": "5f" + "0" * 22, "attributes": attributes}})

    @app.get("/v1/users/current")
    async def current_user(request: Request) -> Response:
        allow(request)
        machine = next(user for user in organisation.users.values() if user.user_type == "machine")
        return answer(request, {"data": records.user_record(machine)})

    @app.get("/v1/orgs/current")
    async def current_org(request: Request) -> Response:
        allow(request)
        attributes = {"name": organisation.subdomain, "displayName": organisation.name}
        return answer(request, {"data": {"type": "org", "id": "5f" + "0" * 21 + "1", "attributes": attributes}})

    @app.post("/v1/customers/search")
    async def customers_search(request: Request) -> Response:
        key = allow(
            request,
            "org.permission.search.create",
            "org.permission.search.update",
            "org.permission.search_global.create",
            "org.permission.search_preview.create",
            "org.user.search.read",
            "org.admin.search.read",
        )
        spend(request, state.search_budget(key).take(), state)
        page, page_size = paging(request, 100, search.MAX_PAGE_SIZE)
        if "idsOnly" in request.query_params:
            raise KustomerError(400, "idsOnly is not offered by this sandbox", "idsOnly")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise KustomerError(400, "content-type must be application/json", "content-type")
        try:
            body = await request.json()
        except ValueError as error:
            raise KustomerError(400, "the body is not JSON", "/") from error
        query = search.parse(body)
        found = searches.found(body, query)
        shown, meta, links = search.page_of(found, page, page_size, state.options.repeated_share)
        rows = [
            records.customer_record(one)
            if isinstance(one, Customer)
            else records.conversation_record(one, organisation)
            for one in shown
        ]
        return answer(request, {"meta": meta, "data": rows, "links": links})

    @app.get("/v1/conversations/{ids}")
    async def conversations(request: Request, ids: str) -> Response:
        allow(request, "org.permission.conversation.read", "org.user.conversation.read")

        def read(id_: str) -> Json | None:
            one = organisation.conversations.get(id_)
            return None if one is None or one.deleted else records.conversation_record(one, organisation)

        return answer(request, one_or_many(ids, read))

    @app.get("/v1/customers/{id_}")
    async def customer(request: Request, id_: str) -> Response:
        allow(request, "org.permission.customer.read", "org.user.customer.read")
        one = organisation.customers.get(id_)
        if one is None or one.deleted:
            raise KustomerError(404, "customer not found")
        return answer(request, {"data": records.customer_record(one)})

    @app.get("/v1/users")
    async def users(request: Request) -> Response:
        allow(request, "org.permission.user.read", "org.user.read")
        chosen = filter_users(request, organisation.users.values())
        return answer(request, listing(request, "/v1/users", chosen, records.user_record, 100, 500))

    @app.get("/v1/users/{ids}")
    async def users_by_id(request: Request, ids: str) -> Response:
        allow(request, "org.permission.user.read", "org.user.read")

        def read(id_: str) -> Json | None:
            one = organisation.users.get(id_)
            return None if one is None else records.user_record(one)

        return answer(request, one_or_many(ids, read))

    @app.get("/v1/tags")
    async def tags(request: Request) -> Response:
        allow(request, "org.permission.tag.read", "org.admin.tag.read", "org.user.tag.read")
        every = list(organisation.tags.values())
        return answer(request, listing(request, "/v1/tags", every, records.tag_record, 100, 100))

    add_lists(app, organisation, allow, answer, listing)
    return app


def answer(request: Request, payload: Json, status: int = 200) -> Response:
    """Answer as JSON, with the rate-limit headers that this call earned."""
    headers = getattr(request.state, "limits", None)
    # A page of 500 rows is a megabyte, which the standard library takes twice as long to write.
    return Response(to_json(payload), status, headers, media_type="application/json")


def bearer(request: Request) -> str:
    """Return the key of the call. Raises KustomerError 401 when there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise KustomerError(401, "No authorization token was found")
    return key


def covers(have: str, need: str) -> bool:
    """Say whether a held role includes a needed one: a broad role covers those below it."""
    return need == have or need.startswith(f"{have}.")


def spend(request: Request, standing: Standing | None, state: State) -> None:
    """Note what a budget says for the answer's headers: the scarcer one when there are two."""
    if standing is None:
        return
    known = getattr(request.state, "limits", None)
    if not standing.allowed or known is None or standing.remaining < int(known["x-ratelimit-remaining"]):
        request.state.limits = known = {
            "x-ratelimit-limit": str(standing.limit),
            "x-ratelimit-remaining": str(standing.remaining),
            "x-ratelimit-reset": str(standing.reset),
        }
    if not standing.allowed:
        if state.options.retry_after:
            seconds = max(standing.reset - int(time.time()), 1)
            request.state.limits = known | {"retry-after": str(seconds)}
        raise KustomerError(429, "Rate limit exceeded")


def paging(request: Request, default: int, most: int) -> tuple[int, int]:
    """Return page and pageSize. Raises KustomerError 400 for anything but whole numbers in range."""
    numbers = []
    for name, fallback, highest in (("page", 1, None), ("pageSize", default, most)):
        text = request.query_params.get(name, str(fallback))
        number = int(text) if text.isascii() and text.isdigit() else 0
        if number < 1 or (highest is not None and number > highest):
            raise KustomerError(400, f"{name} must be a number from 1 to {highest or 'any'}", name)
        numbers.append(number)
    return numbers[0], numbers[1]


def listing(
    request: Request, path: str, every: Sequence[T], write: Callable[[T], Json], default: int, most: int
) -> Json:
    """Return one page of a plain list; `meta` has no totals here."""
    page, size = paging(request, default, most)
    rows = every[(page - 1) * size : page * size]
    more = page * size < len(every)
    links: dict[str, str | None] = {
        "self": f"{path}?page={page}&pageSize={size}",
        "first": f"{path}?page=1&pageSize={size}",
        "prev": f"{path}?page={page - 1}&pageSize={size}" if page > 1 else None,
        "next": f"{path}?page={page + 1}&pageSize={size}" if more else None,
    }
    return {"meta": {"page": page, "pageSize": size}, "data": [write(one) for one in rows], "links": links}


def one_or_many(ids: str, read: Callable[[str], Json | None]) -> Json:
    """Return the object for one id (404 when missing), the list of those found for several."""
    wanted = list(dict.fromkeys(ids.split(",")))
    if len(wanted) > MAX_IDS:
        raise KustomerError(400, f"at most {MAX_IDS} ids", "id")
    found = [record for id_ in wanted if (record := read(id_)) is not None]
    if "," in ids:
        return {"data": found}
    if not found:
        raise KustomerError(404, "not found", "id")
    return {"data": found[0]}


def filter_users(request: Request, users: Collection[User]) -> list[User]:
    """Apply the one filter allowed.

    Without a filter every second deactivated user is listed too: integrators report that the default list holds
    such users, nobody says that it holds them all.
    """
    given = [name for name in ("pending", "deleted", "userType", "email") if name in request.query_params]
    if len(given) > 1:
        raise KustomerError(400, "only one filter at a time", given[1])
    value = request.query_params[given[0]] if given else ""
    match given:
        case ["deleted"] if value in ("true", "false"):
            return [user for user in users if (user.deleted_at is not None) == (value == "true")]
        case ["pending"] if value in ("true", "false"):
            return [user for user in users if value == "false"]
        case ["userType"] if value in ("user", "machine", "limited"):
            return [user for user in users if user.user_type == value]
        case ["email"]:
            return [user for user in users if user.email == value]
        case []:
            deactivated = [user.id for user in users if user.deleted_at is not None]
            left_out = set(deactivated[1::2])
            return [user for user in users if user.id not in left_out]
        case _:
            raise KustomerError(400, f"bad value for {given[0]}", given[0])
