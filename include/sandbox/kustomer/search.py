"""`POST /v1/customers/search`: criteria, order, pages (fact sheet, section 2)."""

import json
import math
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.sandbox.clock import day_to_ms, now_ms, to_ms
from include.sandbox.kustomer.errors import KustomerError
from include.sandbox.model import Conversation, Customer, Json
from include.sandbox.state import State
from include.sandbox.turned import as_compared, turn_found

MAX_PAGES = 100
MAX_PAGE_SIZE = 500

Kind = Literal["datetime", "string", "text", "list", "number", "boolean"]
Predicate = Callable[[Conversation], bool]
Found = Conversation | Customer

_BODY_KEYS = {"queryContext", "and", "or", "not", "sort", "timeZone", "includeDeleted"}
_NOT_OFFERED = {"aggs", "fields", "searchHash"}
_OPERATORS: dict[Kind, set[str]] = {
    "datetime": {"equals", "gte", "lte", "gt", "lt", "not_set"},
    "number": {"equals", "in", "gte", "lte", "gt", "lt", "not_set"},
    "string": {"equals", "in", "not_set"},
    "text": {"equals", "contains", "not_set"},
    "list": {"equals", "in", "contains", "not_set"},
    "boolean": {"equals", "not_set"},
}
_ATTRIBUTES: dict[str, tuple[Kind, Callable[[Conversation], Any]]] = {
    "conversation_status": ("string", lambda conversation: conversation.status),
    "conversation_name": ("text", lambda conversation: conversation.name),
    "conversation_channels": ("list", lambda conversation: (conversation.channel,)),
    "conversation_customer_id": ("string", lambda conversation: conversation.customer_id),
    "conversation_assigned_users": ("list", lambda conversation: conversation.assigned_users),
    "conversation_assigned_teams": ("list", lambda _: ()),
    "conversation_tags": ("list", lambda conversation: conversation.tags),
    "conversation_direction": ("string", lambda _: "in"),
    "conversation_priority": ("number", lambda _: 3),
    "conversation_message_count": ("number", lambda _: 4),
    "conversation_ended": ("boolean", lambda conversation: conversation.ended),
    "conversation_created_at": ("datetime", lambda conversation: conversation.created_at),
    "conversation_updated_at": ("datetime", lambda conversation: conversation.updated_at),
    "conversation_modified_at": ("datetime", lambda conversation: conversation.updated_at),
    "conversation_last_done_created_at": ("datetime", lambda conversation: conversation.closed_at),
    "conversation_last_done_created_by": ("string", lambda conversation: conversation.closed_by),
}
_SORTABLE = {
    "conversation_created_at",
    "conversation_updated_at",
    "conversation_last_done_created_at",
    "customer_created_at",
    "customer_updated_at",
}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """A checked search body."""

    context: Literal["conversation", "customer"]
    every: tuple[Predicate, ...]
    """Criteria of `and`, then one for `or` and one for `not`."""
    sort: tuple[str, bool] | None
    """Attribute, and whether it falls."""
    include_deleted: bool


def parse(body: Any) -> Query:
    """Check a search body. Raises KustomerError 400 naming the place at fault."""
    if not isinstance(body, dict):
        raise KustomerError(400, "the body must be a JSON object", "/")
    for key in body:
        if key in _NOT_OFFERED:
            raise KustomerError(400, f"{key} is not offered by this sandbox", f"/{key}")
        if key not in _BODY_KEYS:
            raise KustomerError(400, f"unknown property {key}", f"/{key}")
    context = body.get("queryContext")
    if context not in ("conversation", "customer"):
        raise KustomerError(400, "queryContext must be conversation or customer", "/queryContext")
    include_deleted = body.get("includeDeleted", False)
    if not isinstance(include_deleted, bool):
        raise KustomerError(400, "includeDeleted must be a boolean", "/includeDeleted")
    zone = _zone(body.get("timeZone", "GMT"))
    every = _criteria(body, "and", zone)
    either, never = _criteria(body, "or", zone), _criteria(body, "not", zone)
    if either:
        every.append(lambda conversation: any(test(conversation) for test in either))
    if never:
        every.append(lambda conversation: not any(test(conversation) for test in never))
    return Query(context, tuple(every), _sort(body.get("sort")), include_deleted)


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, TypeError, ValueError) as error:
        raise KustomerError(400, "unknown timeZone", "/timeZone") from error


def _sort(given: Any) -> tuple[str, bool] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not all(
        isinstance(criterion, dict) and len(criterion) == 1 for criterion in given
    ):
        raise KustomerError(400, "sort must be a list of objects with one attribute each", "/sort")
    keys = [next(iter(criterion.items())) for criterion in given]
    for attribute, direction in keys:
        if attribute not in _SORTABLE or direction not in ("asc", "desc"):
            raise KustomerError(400, f"cannot sort by {attribute} {direction}", "/sort")
    return (keys[0][0], keys[0][1] == "desc") if keys else None


def _criteria(body: Json, group: str, zone: ZoneInfo) -> list[Predicate]:
    given = body.get(group, [])
    if not isinstance(given, list):
        raise KustomerError(400, f"{group} must be a list", f"/{group}")
    return [_criterion(criterion, f"/{group}/{place}", zone) for place, criterion in enumerate(given)]


def _criterion(given: Any, pointer: str, zone: ZoneInfo) -> Predicate:
    if not isinstance(given, dict) or len(given) != 1:
        raise KustomerError(400, "a criterion holds exactly one attribute", pointer)
    [(attribute, test)] = given.items()
    if not isinstance(test, dict) or len(test) != 1:
        raise KustomerError(400, "a criterion holds exactly one operator", f"{pointer}/{attribute}")
    [(operator, value)] = test.items()
    if attribute in _ATTRIBUTES:
        kind, read = _ATTRIBUTES[attribute]
    elif attribute.startswith("conversation_custom_"):
        kind, read = _custom(attribute.removeprefix("conversation_custom_"))
    else:
        raise KustomerError(400, f"unknown attribute {attribute}", f"{pointer}/{attribute}")
    if operator not in _OPERATORS[kind]:
        raise KustomerError(400, f"operator {operator} does not fit {attribute}", f"{pointer}/{attribute}")
    return _predicate(kind, read, operator, value, f"{pointer}/{attribute}/{operator}", zone)


def _custom(name: str) -> tuple[Kind, Callable[[Conversation], Any]]:
    """Read a custom attribute; the end of its name tells its kind (section 4.1)."""
    kind: Kind = "boolean" if name.endswith("Bool") else "number" if name.endswith("Num") else "string"
    return kind, lambda conversation: (conversation.custom or {}).get(name)


def _predicate(
    kind: Kind, read: Callable[[Conversation], Any], operator: str, value: Any, pointer: str, zone: ZoneInfo
) -> Predicate:
    if operator == "not_set":
        if value != "":
            raise KustomerError(400, "not_set takes an empty string", pointer)
        return lambda conversation: read(conversation) in (None, (), "")
    if operator == "in":
        if not isinstance(value, list) or not value:
            raise KustomerError(400, "in takes a list of values", pointer)
        wanted = {_value(kind, entry, pointer, zone) for entry in value}
        if kind == "list":
            return lambda conversation: not wanted.isdisjoint(read(conversation))
        return lambda conversation: read(conversation) in wanted
    bound = _value(kind, value, pointer, zone)
    match operator:
        case "equals" if kind == "list":
            return lambda conversation: bound in read(conversation)
        case "equals":
            return lambda conversation: bool(read(conversation) == bound)
        case "contains" if kind == "text":
            return lambda conversation: str(bound).lower() in (read(conversation) or "").lower()
        case "contains":
            return lambda conversation: bound in read(conversation)
        case "gte":
            return lambda conversation: (have := read(conversation)) is not None and have >= bound
        case "lte":
            return lambda conversation: (have := read(conversation)) is not None and have <= bound
        case "gt":
            return lambda conversation: (have := read(conversation)) is not None and have > bound
        case _:
            return lambda conversation: (have := read(conversation)) is not None and have < bound


def _value(kind: Kind, value: Any, pointer: str, zone: ZoneInfo) -> Any:
    if kind == "datetime":
        return _instant(value, pointer, zone)
    wanted = {"number": (int, float), "boolean": (bool,)}.get(kind, (str,))
    if not isinstance(value, wanted) or (kind == "number" and isinstance(value, bool)):
        raise KustomerError(400, f"a {kind} is needed", pointer)
    return value


def _instant(value: Any, pointer: str, zone: ZoneInfo) -> int:
    """Read `YYYY-MM-DD` in the query's zone or a full UTC time; other spellings are not documented."""
    if isinstance(value, str):
        try:
            if _DAY.fullmatch(value):
                return day_to_ms(date.fromisoformat(value), zone)
            if _INSTANT.fullmatch(value):
                return to_ms(datetime.fromisoformat(value).astimezone(UTC))
        except ValueError:
            pass
    raise KustomerError(400, "a date YYYY-MM-DD or a UTC time like 2020-11-20T16:34:00.000Z is needed", pointer)


class Searches:
    """Answers searches; remembers what the last few found, since each page asks the whole question again."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._found: OrderedDict[str, Sequence[Found]] = OrderedDict()

    def found(self, body: Json, query: Query) -> Sequence[Found]:
        """Return all that a query finds, in the order in which its pages show it."""
        lag = self.state.options.index_lag_seconds
        moment = now_ms()
        key = json.dumps([body, self.state.version, moment // 1000 if lag else 0], sort_keys=True)
        found = self._found.get(key)
        if found is None:
            found = self._search(query, moment - int(lag * 1000), moment)
            self._found[key] = found
            if len(self._found) > 8:
                self._found.popitem(last=False)
        return turn_found(found, query.context, self.state.options)

    def _search(self, query: Query, indexed_until: int, moment: int) -> Sequence[Found]:
        known = list(self.state.organisation.conversations.values())
        if indexed_until < moment:
            known = [
                seen
                for conversation in known
                if (seen := _as_indexed(conversation, indexed_until, moment)) is not None
            ]
        if not query.include_deleted:
            known = [conversation for conversation in known if not conversation.deleted or conversation.lingers]
        if query.context == "customer":
            return self._customers(query, known)
        for test in query.every:
            known = [conversation for conversation in known if test(as_compared(conversation, self.state.options))]
        return _disorder(known, query.sort)

    def _customers(self, query: Query, known: list[Conversation]) -> list[Customer]:
        """Return customers for whom each criterion holds for some conversation, not always for the same one.

        The fact sheet (section 5) calls that open; this is the reading under which a client must check again.
        """
        ids = {conversation.customer_id for conversation in known}
        for test in query.every:
            ids &= {conversation.customer_id for conversation in known if test(conversation)}
        every = self.state.organisation.customers
        found = [every[id_] for id_ in ids if id_ in every]
        shown = [customer for customer in found if not customer.deleted and not customer.unindexed]
        return sorted(shown, key=lambda customer: _scramble(customer.id))


def _as_indexed(conversation: Conversation, indexed_until: int, moment: int) -> Conversation | None:
    """Return a conversation as the index knows it; a change in the future (a test's clock) counts as known."""
    seen: Conversation | None = conversation
    while seen is not None and indexed_until < (seen.changed_at or seen.updated_at) <= moment:
        seen = seen.indexed_before
    return seen


def _disorder(found: list[Conversation], sort: tuple[str, bool] | None) -> list[Conversation]:
    """Order the rows as asked, but only roughly: each run of seven comes backwards (section 2.2)."""
    if sort is None or sort[0] not in _ATTRIBUTES:
        return sorted(found, key=lambda conversation: _scramble(conversation.id))
    read = _ATTRIBUTES[sort[0]][1]
    found.sort(key=lambda conversation: (read(conversation) or 0, conversation.id), reverse=sort[1])
    return [
        conversation for start in range(0, len(found), 7) for conversation in reversed(found[start : start + 7])
    ]


def _scramble(id_: str) -> int:
    return zlib.crc32(id_.encode())


def page_of(
    found: Sequence[Found], page: int, page_size: int, repeated_share: float
) -> tuple[Sequence[Found], Json, Json]:
    """Return one page's rows, `meta` and `links`.

    Each page begins with the last few rows of the page before, `total` counts every row once: so more pages are
    needed than total / pageSize. Past page 100 nothing is answered, though `links.next` of page 100 points there.
    """
    if page > MAX_PAGES:
        raise KustomerError(400, f"page must not be greater than {MAX_PAGES}", "page")
    repeated = min(math.ceil(page_size * repeated_share), page_size - 1)
    stride = page_size - repeated
    pages = max(math.ceil((len(found) - repeated) / stride), 1) if found else 0
    start = (page - 1) * stride
    shown = found[start : start + page_size] if page <= pages else []

    def link(number: int) -> str:
        return f"/v1/customers/search?page={number}&pageSize={page_size}"

    meta = {"page": page, "pageSize": page_size, "total": len(found), "totalPages": pages, "aggregations": {}}
    links = {
        "self": link(page),
        "first": link(1),
        "prev": link(page - 1) if page > 1 else None,
        "next": link(page + 1) if page < pages else None,
        "last": link(max(pages, 1)),
    }
    return shown, meta, links
