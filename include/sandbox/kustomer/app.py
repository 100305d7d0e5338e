"""The simulator of Kustomer's REST API."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TypeVar

from fastapi import FastAPI, Request, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from include.sandbox.control import add_control
from include.sandbox.kustomer import records, search
from include.sandbox.kustomer.errors import KustomerError
from include.sandbox.kustomer.lists import add_lists
from include.sandbox.kustomer.writing import add_writing
from include.sandbox.limits import Standing
from include.sandbox.model import Customer, Json, Organisation, User
from include.sandbox.options import OTHER_KUSTOMER_KEY, Options
from include.sandbox.state import State
from include.sandbox.turned import refuse_attribute, turn_conversation

T = TypeVar("T")

GENERIC_HOST = "https://api.kustomerapp.com"
SEARCH_ROLES = (
    "org.permission.search.create",
    "org.permission.search.update",
    "org.permission.search_global.create",
    "org.permission.search_preview.create",
    "org.user.search.read",
    "org.admin.search.read",
)

MAX_IDS = 100
"""Ids in one path; the vendor's own limit is unknown."""


def kustomer_app(state: State) -> FastAPI:
    """Return the app over this state."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    add_control(app, state)

    @app.exception_handler(KustomerError)
    async def refused(request: Request, error: KustomerError) -> Response:
        return answer(request, error.body(), error.status)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        known = KustomerError(error.status_code, HTTPStatus(error.status_code).phrase)
        return answer(request, known.body(), error.status_code)

    calls = Calls(state)
    app.add_api_route("/v1/customers/search", calls.search, methods=["POST"])
    for path, answers in (
        ("/v1/auth/tokens/current", calls.current_token),
        ("/v1/users/current", calls.current_user),
        ("/v1/orgs/current", calls.current_org),
        ("/v1/conversations/{ids}", calls.conversations),
        ("/v1/customers/{id_}", calls.customer),
        ("/v1/users", calls.users),
        ("/v1/users/{ids}", calls.users_by_id),
        ("/v1/tags", calls.tags),
    ):
        app.add_api_route(path, answers, methods=["GET"])
    add_lists(app, calls.allow, calls.page, answer, listing)
    add_writing(app, state, calls.allow, spend, answer, listing)
    return app


class Calls:
    """The answer to each call. Each first checks key, budget and roles with `allow`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.searches = search.Searches(state)

    def allow(self, request: Request, *roles: str) -> Organisation:
        """Check key, budget and roles, in this order; return the organisation that the key belongs to."""
        key = bearer(request)
        if key not in self.state.kustomer_tokens:
            raise KustomerError(401, "Unauthorized")
        held = self.state.kustomer_tokens[key]
        if held is None:
            raise KustomerError(401, "Expired token")
        spend(request, self.state.org_budget.take(), self.state)
        if roles and not any(covers(have, need) for have in held for need in roles):
            raise KustomerError(403, f"one of these roles is required: {', '.join(roles)}")
        return self.state.other_organisation if key == OTHER_KUSTOMER_KEY else self.state.organisation

    def masked(self, record: Json) -> Json:
        """Return a conversation or customer as the key may see it."""
        emails, custom = self.state.options.mask_emails, self.state.options.mask_custom
        turn_conversation(record, self.state.options)
        return records.mask(record, emails=emails, custom=custom) if emails or custom else record

    def page(self, request: Request, page: Json) -> Response:
        """Answer with a page of rows, whose links are paths or name the generic host."""
        if self.state.options.generic_links:
            page["links"] = {name: link and f"{GENERIC_HOST}{link}" for name, link in page["links"].items()}
        return answer(request, page)

    async def current_token(self, request: Request) -> Response:
        """Tell what the key is; any valid key may ask."""
        organisation, key = self.allow(request), bearer(request)
        attributes = {
            "name": "Sandbox key",
            "roles": list(self.state.kustomer_tokens[key] or ()),
            "lastTokenChars": key[-4:],
            "ipAddress": None,
        }
        token = {"type": "auth_token", "id": "5f" + "0" * 22, "attributes": attributes}
        org = {"data": {"type": "org", "id": organisation.id}, "links": {"self": f"/v1/orgs/{organisation.id}"}}
        return answer(request, {"data": token | {"relationships": {"org": org}}})

    async def current_user(self, request: Request) -> Response:
        """Return the key's machine user."""
        users = self.allow(request).users.values() or self.state.organisation.users.values()
        return answer(request, {"data": records.user_record(next(u for u in users if u.user_type == "machine"))})

    async def current_org(self, request: Request) -> Response:
        """Return the key's organisation."""
        organisation = self.allow(request)
        attributes = {"name": organisation.subdomain, "displayName": organisation.name}
        return answer(request, {"data": {"type": "org", "id": organisation.id, "attributes": attributes}})

    async def search(self, request: Request) -> Response:
        """Return a page of conversations, or of customers by their conversations."""
        organisation = self.allow(request, *SEARCH_ROLES)
        spend(request, self.state.search_budget(bearer(request)).take(), self.state)
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
        refuse_attribute(body, self.state.options)
        found = self.searches.found(body, query) if organisation is self.state.organisation else ()
        shown, meta, links = search.page_of(found, page, page_size, self.state.options.repeated_share)
        if query.context == "conversation":
            meta["total"] += self.state.options.overcounted_rows
        rows = [
            records.customer_record(found)
            if isinstance(found, Customer)
            else records.conversation_record(found, organisation)
            for found in shown
        ]
        return self.page(request, {"meta": meta, "data": [self.masked(row) for row in rows], "links": links})

    async def conversations(self, request: Request, ids: str) -> Response:
        """Return one conversation, or those of several that exist."""
        organisation = self.allow(request, "org.permission.conversation.read", "org.user.conversation.read")

        def read(id_: str) -> Json | None:
            conversation = organisation.conversations.get(id_)
            options = self.state.options
            if conversation is None or options.hide_by_id:
                return None
            if conversation.deleted and options.unmarked_deleted:
                conversation = replace(conversation, deleted=False)
            elif conversation.deleted and not options.show_deleted:
                return None
            return self.masked(records.conversation_record(conversation, organisation))

        return answer(request, one_or_many(ids, read, self.state.options))

    async def customer(self, request: Request, id_: str) -> Response:
        """Return one customer; a list of ids is not documented."""
        organisation = self.allow(request, "org.permission.customer.read", "org.user.customer.read")
        customer = organisation.customers.get(id_)
        if customer is None or (customer.deleted and not self.state.options.show_deleted):
            raise KustomerError(404, "customer not found")
        return answer(request, {"data": self.masked(records.customer_record(customer))})

    async def users(self, request: Request) -> Response:
        """Return a page of users."""
        organisation = self.allow(request, "org.permission.user.read", "org.user.read")
        users = () if self.state.options.hide_users else organisation.users.values()
        chosen = filter_users(request, users)
        return self.page(request, listing(request, "/v1/users", chosen, records.user_record, 100, 500))

    async def users_by_id(self, request: Request, ids: str) -> Response:
        """Return one user, or those of several that exist."""
        organisation = self.allow(request, "org.permission.user.read", "org.user.read")

        def read(id_: str) -> Json | None:
            user = organisation.users.get(id_)
            return None if user is None or self.state.options.hide_users else records.user_record(user)

        return answer(request, one_or_many(ids, read, self.state.options))

    async def tags(self, request: Request) -> Response:
        """Return a page of tags."""
        roles = ("org.permission.tag.read", "org.admin.tag.read", "org.user.tag.read")
        every = list(self.allow(request, *roles).tags.values())
        return self.page(request, listing(request, "/v1/tags", every, records.tag_record, 100, 100))


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
    return {"meta": {"page": page, "pageSize": size}, "data": [write(row) for row in rows], "links": links}


def one_or_many(ids: str, read: Callable[[str], Json | None], options: Options) -> Json:
    """Return the object for one id (404 when missing), the list of those found for several."""
    wanted = list(dict.fromkeys(ids.split(",")))
    if len(wanted) > MAX_IDS:
        raise KustomerError(400, f"at most {MAX_IDS} ids", "id")
    found = [record for id_ in wanted if (record := read(id_)) is not None]
    if "," in ids:
        return {"data": found[: options.max_listed or None]}
    if not found:
        raise KustomerError(options.unknown_id_status, "not found", "id")
    return {"data": found[0]}


def filter_users(request: Request, users: Collection[User]) -> list[User]:
    """Apply the one filter allowed.

    Without a filter every second deactivated user is listed too: integrators report that the default list holds
    such users, but no source says that it holds all.
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
