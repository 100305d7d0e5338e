"""What can be written at Kustomer: conversations, notes, custom objects (fact sheet, sections 8 and 8.1).

The documents are silent on much of it. Here a merged conversation takes writes as any other, and people do not see
them; notes with the same `externalId` exist beside each other.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response

from include.sandbox.changes import change_conversation
from include.sandbox.clock import iso, now_ms
from include.sandbox.kustomer.errors import KustomerError
from include.sandbox.kustomer.written import Bulk, Note, Written
from include.sandbox.limits import Budget
from include.sandbox.model import Conversation, Json, Organisation
from include.sandbox.state import State

Allow = Callable[..., Organisation]
Spend = Callable[[Request, Any, State], None]
Answer = Callable[..., Response]
Listing = Callable[..., Json]

MAX_BULK = 100
MAX_NOTE = 10_240
MAX_CUSTOM = 100
MAX_TEXT = 1024
PER_CUSTOMER_PER_MINUTE = 120
UPDATE_ROLES = ("org.permission.conversation.update", "org.user.conversation.write")
_FIELDS = ("custom", "status", "priority", "assignedUsers", "assignedTeams", "queue", "subStatus", "tags", "rev")
_KINDS: dict[str, tuple[type, ...]] = {
    "Str": (str,),
    "Txt": (str,),
    "Num": (int, float),
    "At": (str,),
    "Bool": (bool,),
    "Url": (str,),
    "Id": (str,),
    "Tree": (str,),
}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def add_writing(app: FastAPI, state: State, allow: Allow, spend: Spend, answer: Answer, listing: Listing) -> None:
    """Add the endpoints to the simulator of Kustomer."""
    calls = _Calls(state, allow, spend, answer, listing)
    single = "/v1/conversations/{id_}"
    for method, path, answers in (
        ("PUT", "/v1/conversations/bulk", calls.update_many),
        ("PATCH", single, calls.update),
        ("POST", f"{single}/tags", calls.append_tags),
        ("GET", f"{single}/notes", calls.notes),
        ("POST", f"{single}/notes", calls.add_note),
        ("GET", "/v1/bulk/{id_}", calls.bulk),
        ("GET", "/v1/bulk/{id_}/batches", calls.batches),
        ("POST", "/v1/klasses/{klass}", calls.add_object),
        ("GET", "/v1/klasses/{klass}/externalId={external_id}", calls.object_by_external_id),
        ("PUT", "/v1/klasses/{klass}/{id_}", calls.update_object),
    ):
        app.add_api_route(path, answers, methods=[method])


class _Calls:
    def __init__(self, state: State, allow: Allow, spend: Spend, answer: Answer, listing: Listing) -> None:
        self.state = state
        self.allow = allow
        self.spend = spend
        self.answer = answer
        self.listing = listing

    @property
    def written(self) -> Written:
        """Everything written so far."""
        return self.state.written

    async def update(self, request: Request, id_: str) -> Response:
        organisation = self.allow(request, *UPDATE_ROLES)
        given = await _body(request, dict)
        self._change(_existing(organisation, id_), given)
        return self.answer(request, {"data": {"type": "conversation", "id": id_, "attributes": given}})

    async def update_many(self, request: Request) -> Response:
        self.allow(request, *UPDATE_ROLES)
        items = await _body(request, list)
        if not 0 < len(items) <= MAX_BULK or not all(isinstance(item, dict) and item.get("id") for item in items):
            raise KustomerError(400, f"1 to {MAX_BULK} objects with an id are needed", "/")
        job = Bulk(f"6b{len(self.written.bulks):022x}", items)
        self.written.bulks.append(job)
        asyncio.get_running_loop().call_later(self.state.options.bulk_seconds, self._work, job)
        return self.answer(request, {"data": _bulk_record(job)}, 201)

    async def bulk(self, request: Request, id_: str) -> Response:
        return self.answer(request, {"data": _bulk_record(self._bulk(request, id_))})

    async def batches(self, request: Request, id_: str) -> Response:
        job = self._bulk(request, id_)
        failed = sum("errors" in result for result in job.results)
        attributes = {"successCount": len(job.results) - failed, "failureCount": failed, "results": job.results}
        return self.answer(request, {"data": [{"type": "bulk_batch", "id": f"{id_}1", "attributes": attributes}]})

    async def append_tags(self, request: Request, id_: str) -> Response:
        conversation = _existing(self.allow(request, *UPDATE_ROLES), id_)
        names = await _body(request, list)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise KustomerError(400, "a list of names is needed", "/")
        tags = self.state.organisation.tags
        ids = {tag.name: tag.id for tag in tags.values()}
        for name in names:
            if name not in ids:
                ids[name] = f"7a{len(tags):022x}"
                tags[ids[name]] = type(next(iter(tags.values())))(ids[name], name)
        change_conversation(
            self.state,
            {"id": id_, "tags": list(dict.fromkeys([*conversation.tags, *(ids[name] for name in names)]))},
        )
        return self.answer(request, {"data": {"type": "conversation", "id": id_}})

    async def notes(self, request: Request, id_: str) -> Response:
        _existing(self.allow(request, "org.permission.note.read", "org.user.note.read"), id_)
        every = self.written.notes.get(id_, [])
        page = self.listing(request, f"/v1/conversations/{id_}/notes", every, _note_record, 100, 100)
        return self.answer(request, page)

    async def add_note(self, request: Request, id_: str) -> Response:
        conversation = _existing(self.allow(request, "org.permission.note.create", "org.user.note.write"), id_)
        given = await _body(request, dict)
        _known(given, ("body", "externalId", "userMentions"))
        text = given.get("body")
        if not isinstance(text, str) or not 0 < _units(text) <= MAX_NOTE:
            raise KustomerError(400, f"body must be a text of 1 to {MAX_NOTE} characters", "/body")
        self._spend_for_customer(request, "note", conversation.customer_id)
        number = sum(map(len, self.written.notes.values()))
        mentions = given.get("userMentions") or []
        note = Note(f"7e{number:022x}", text, now_ms(), given.get("externalId"), mentions)
        self.written.notes.setdefault(id_, []).append(note)
        change_conversation(self.state, {"id": id_})  # moves updatedAt
        return self.answer(request, {"data": _note_record(note)}, 201)

    async def object_by_external_id(self, request: Request, klass: str, external_id: str) -> Response:
        self.allow(request, "org.permission.kobject.read", "org.user.kobject.read")
        found = self._find(klass, "externalId", unquote(external_id))
        if found is None:
            raise KustomerError(404, "not found", "externalId")
        return self.answer(request, {"data": found})

    async def add_object(self, request: Request, klass: str) -> Response:
        organisation = self.allow(request, "org.permission.kobject.create", "org.user.kobject.write")
        given = await _body(request, dict)
        _check_object(given, organisation)
        if not given.get("title"):
            raise KustomerError(400, "title is required", "/title")
        if self._find(klass, "externalId", given.get("externalId")) is not None:
            raise KustomerError(409, "externalId exists already", "/externalId")
        if given.get("customer") and not given.get("importedAt"):
            self._spend_for_customer(request, "object", given["customer"])
        objects = self.written.objects.setdefault(klass, [])
        record = {"type": f"kobject.{klass}", "id": f"7b{len(objects):022x}", "attributes": given}
        objects.append(record)
        return self.answer(request, {"data": record}, 201)

    async def update_object(self, request: Request, klass: str, id_: str) -> Response:
        organisation = self.allow(request, "org.permission.kobject.update", "org.user.kobject.write")
        given = await _body(request, dict)
        _check_object(given, organisation)
        objects = self.written.objects.get(klass, [])
        found = next((known for known in objects if known["id"] == id_), None)
        if found is None:
            raise KustomerError(404, "not found", "id")
        custom = {**found["attributes"].get("custom", {}), **given.get("custom", {})}
        found["attributes"] = {**found["attributes"], **given, "custom": custom}
        return self.answer(request, {"data": found})

    def _find(self, klass: str, name: str, value: object) -> Json | None:
        if klass not in self.state.options.klasses:
            raise KustomerError(404, f"there is no class {klass}", "name")
        if value is None:
            return None
        objects = self.written.objects.get(klass, [])
        return next((known for known in objects if known["attributes"].get(name) == value), None)

    def _bulk(self, request: Request, id_: str) -> Bulk:
        self.allow(request, "org.permission.bulk.read", "org.user.bulk.read")
        for job in self.written.bulks:
            if job.id == id_:
                return job
        raise KustomerError(404, "not found", "id")

    def _work(self, job: Bulk) -> None:
        for item in job.items:
            id_ = str(item["id"])
            try:
                self._change(_existing(self.state.organisation, id_), {k: v for k, v in item.items() if k != "id"})
            except KustomerError as error:
                job.results.append({"id": id_, **error.body()})
            else:
                job.results.append({"id": id_})

    def _change(self, conversation: Conversation, given: Json) -> None:
        _known(given, _FIELDS)
        custom = given.get("custom") or {}
        _check_custom(custom)
        change: Json = {"id": conversation.id}
        if custom:
            change["custom"] = {**(conversation.custom or {}), **custom}
        for name, ours in (("status", "status"), ("assignedUsers", "assigned_users"), ("tags", "tags")):
            if name in given:
                change[ours] = given[name]
        attributes = {name: given[name] for name in ("priority", "assignedTeams") if name in given}
        if attributes:
            change["attributes"] = {**(conversation.attributes or {}), **attributes}
        related = {name: given[name] for name in ("queue", "subStatus") if name in given}
        if related:
            links = {
                name: {"data": {"type": name, "id": value["id"] if isinstance(value, dict) else value}}
                for name, value in related.items()
            }
            change["relationships"] = {**(conversation.relationships or {}), **links}
        if change.get("status") == "done" and conversation.status != "done":
            change["closed_at"] = iso(now_ms())
        try:
            change_conversation(self.state, change)
        except ValueError as error:
            raise KustomerError(400, str(error), "/") from error
        self.written.updates[conversation.id] = self.written.updates.get(conversation.id, 0) + 1

    def _spend_for_customer(self, request: Request, what: str, customer: str) -> None:
        budget = self.written.budgets.setdefault(
            (what, customer), Budget(PER_CUSTOMER_PER_MINUTE, self.state.options.limit_window_seconds)
        )
        self.spend(request, budget.take(), self.state)


async def _body(request: Request, kind: type) -> Any:
    try:
        given = await request.json()
    except ValueError as error:
        raise KustomerError(400, "the body is not JSON", "/") from error
    if not isinstance(given, kind):
        raise KustomerError(400, f"the body must be a JSON {'list' if kind is list else 'object'}", "/")
    return given


def _existing(organisation: Organisation, id_: str) -> Conversation:
    conversation = organisation.conversations.get(id_)
    if conversation is None or conversation.deleted:
        raise KustomerError(404, "conversation not found", "id")
    return conversation


def _known(given: Json, names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise KustomerError(400, f"unknown field {name}", f"/{name}")


def _check_object(given: Json, organisation: Organisation) -> None:
    _known(given, ("title", "customer", "externalId", "description", "custom", "tags", "createdAt", "importedAt"))
    _check_custom(given.get("custom") or {})
    if given.get("customer") and given["customer"] not in organisation.customers:
        raise KustomerError(400, "unknown customer", "/customer")


def _check_custom(custom: Any) -> None:
    if not isinstance(custom, dict) or len(custom) > MAX_CUSTOM:
        raise KustomerError(400, f"custom must be an object of at most {MAX_CUSTOM} keys", "/custom")
    for name, value in custom.items():
        suffix = next((kind for kind in _KINDS if name.endswith(kind) and name != kind), None)
        if suffix is None:
            raise KustomerError(400, f"{name} does not end in its type", f"/custom/{name}")
        if value is None:
            continue
        of_kind = isinstance(value, _KINDS[suffix]) and isinstance(value, bool) == (suffix == "Bool")
        too_long = isinstance(value, str) and _units(value) > MAX_TEXT
        if not of_kind or too_long or (suffix == "At" and not _INSTANT.fullmatch(value)):
            raise KustomerError(400, f"bad value for {name}", f"/custom/{name}")


def _units(text: str) -> int:
    """Return the length as JavaScript counts it."""
    return len(text.encode("utf-16-le")) // 2


def _note_record(note: Note) -> Json:
    attributes = {
        "body": note.body,
        "externalId": note.external_id,
        "userMentions": note.mentions,
        "createdAt": iso(note.created_at),
    }
    return {"type": "note", "id": note.id, "attributes": attributes}


def _bulk_record(job: Bulk) -> Json:
    batches = {"complete": int(job.complete), "total": 1}
    status = "complete" if job.complete else "queued"
    return {"type": "bulk", "id": job.id, "attributes": {"status": status, "batches": batches}}
