"""Speaks Kustomer: finds closings, reads conversations, customers, users and tags.

Section numbers refer to the Kustomer fact sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from requests import PreparedRequest

from plugins.vendor_api.errors import (
    BrokenAnswer,
    ConfigurationError,
    NotFound,
    OutcomeUnknown,
    Refused,
    VendorApiError,
)
from plugins.vendor_api.hook import READ_ATTEMPTS, Call, Params, Signer, VendorApiHook
from plugins.vendor_api.settings import checked_url
from plugins.vendor_api.throttle import Throttle

Record = dict[str, Any]
"""One JSON:API object: type, id, attributes, relationships. Everything in it is optional and nullable."""

ConversationT = TypeVar("ConversationT")
CustomerT = TypeVar("CustomerT")

# Section 1. Any one of a call's roles is enough; the last of them are those of older keys.
SEARCH = Call(
    "POST",
    "/v1/customers/search",
    (
        "org.permission.search.create",
        "org.permission.search.update",
        "org.permission.search_global.create",
        "org.permission.search_preview.create",
        "org.user.search.read",
        "org.admin.search.read",
    ),
)
CONVERSATIONS = Call(
    "GET", "/v1/conversations/{ids}", ("org.permission.conversation.read", "org.user.conversation.read")
)
CUSTOMER = Call("GET", "/v1/customers/{id}", ("org.permission.customer.read", "org.user.customer.read"))
USERS = Call("GET", "/v1/users", ("org.permission.user.read", "org.user.read"))
USERS_BY_ID = Call("GET", "/v1/users/{ids}", USERS.roles)
TAGS = Call("GET", "/v1/tags", ("org.permission.tag.read", "org.admin.tag.read"))
TOKEN = Call("GET", "/v1/auth/tokens/current")

PAGE_SIZE = 500
LAST_PAGE = 100  # section 2.3: a hard limit, though `links.next` points beyond it
SPLIT_ABOVE = 5_000
MOST_PARTS = 1_000  # of one window at once, should Kustomer count nonsense
READS_OF_A_SHORT_WINDOW = 4
TAGS_PAGE_SIZE = 100  # section 6: the usual maximum of a list; 500 is known for few
READS_FOR_A_SEARCH = 3  # section 6: 100 searches, and by default 300 calls of ours in all, a minute
IDS_PER_CALL = 100  # section 5: the maximum is unknown; this keeps a URL below 3,000 characters

_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search.

    Attributes:
        records: the rows, raw.
        total: how many rows Kustomer counted when it answered.
    """

    records: list[Record]
    total: int


@dataclass(frozen=True, slots=True)
class SearchWindow(Generic[ConversationT, CustomerT]):
    """The closings of one stretch of time, with the customers the search gave for them.

    Attributes:
        closed_from: first instant of the window (UTC).
        closed_to: first instant after it.
        conversations: what the caller's function made of each conversation, each id once.
        customers: the same for customers of these conversations; not necessarily all of them.
        short_by: how many rows Kustomer counted but never returned, after several readings.
    """

    closed_from: datetime
    closed_to: datetime
    conversations: list[ConversationT]
    customers: list[CustomerT]
    short_by: int


class KustomerHook(VendorApiHook):
    """Reads Kustomer; writes nothing.

    All calls together stay below `requests_per_minute` (the budget is shared with every other integration of
    the organisation), searches also below `searches_per_minute` (documented limit of a key: 100).

    Args:
        kustomer_conn_id: a connection of type `kustomer`: host, password = API key, extra `web_url`.
        requests_per_minute: 0 for no limit.
        searches_per_minute: 0 for no limit.
    """

    conn_name_attr = "kustomer_conn_id"
    default_conn_name = "kustomer_default"
    conn_type = "kustomer"
    hook_name = "Kustomer"
    default_host = "https://api.kustomerapp.com"
    required_extras = ("web_url",)

    def __init__(
        self,
        kustomer_conn_id: str = default_conn_name,
        *,
        requests_per_minute: float = 300,
        searches_per_minute: float = 96,
    ) -> None:
        super().__init__(kustomer_conn_id)
        self._all_calls = Throttle(requests_per_minute)
        self._searches = Throttle(searches_per_minute)

    @property
    def web_url(self) -> str:
        """The organisation's Kustomer address, for links people click; no trailing slash.

        Raises:
            ConfigurationError: if it is missing or no address.
        """
        return checked_url(self.conn_id, '"web_url" of the extra', str(self.settings.extra["web_url"]).strip())

    def closings_windows(
        self,
        closed_from: datetime,
        closed_to: datetime,
        *,
        conversation: Callable[[Record], ConversationT],
        customer: Callable[[Record], CustomerT],
        split_above: int = SPLIT_ABOVE,
    ) -> Iterator[SearchWindow[ConversationT, CustomerT]]:
        """Everything closed in [`closed_from`, `closed_to`), in windows of bounded size, in order of time.

        A window that holds more than `split_above` closings is divided before its second page is read: deep
        pages are where searches get slow and end (section 2.3). The sort order is not relied upon: rows are
        counted once per id and compared with the total that Kustomer states; a window that comes out short
        (the index changes while it is read) is read again, and what is missing after that is reported in
        `short_by`, never hidden.

        Only the results of `conversation` and `customer` are kept, of the window that is read, so memory depends on
        them and on `split_above`, not on the span. Both get raw records, must not raise, and see a record again
        when a window is read again.

        One search at a time: at 100 a minute (section 6) several at once would only wait for one another, and late
        ones would meet in the vendor's next minute.

        Raises:
            BrokenAnswer: more closings within one millisecond than a search can return, or a nonsensical answer.
            VendorApiError: see `errors.py`.
        """
        for start, end, pages in self._small_windows(closed_from, closed_to, split_above):
            yield self._window(start, end, pages, conversation, customer)

    def search(
        self, context: Literal["conversation", "customer"], closed_from: datetime, closed_to: datetime
    ) -> Iterator[SearchPage]:
        """Pages of the search for closings in [`closed_from`, `closed_to`), at most `LAST_PAGE` of them.

        Context `customer` gives the customers of these conversations, and possibly others: whether both
        criteria must hold for the same conversation is unknown (section 5).

        Raises:
            BrokenAnswer: no `data`, no total, or next-page links that lead elsewhere or in circles.
        """
        body = {
            "queryContext": context,
            # One criterion each: two operators in one are not documented (section 2.1).
            "and": [
                {"conversation_status": {"equals": "done"}},
                {"conversation_last_done_created_at": {"gte": _text(closed_from)}},
                {"conversation_last_done_created_at": {"lt": _text(closed_to)}},
            ],
            "sort": [{f"{context}_updated_at": "asc"}],
        }
        for answer in self._pages(SEARCH, {}, PAGE_SIZE, body):
            meta = answer.get("meta")
            total = meta.get("total") if isinstance(meta, dict) else None
            if not isinstance(total, int):
                raise self._error(BrokenAnswer, SEARCH, "gave no meta.total, so nothing can be called complete")
            yield SearchPage(_rows(answer), total)

    def conversations(self, ids: Sequence[str]) -> dict[str, Record]:
        """The conversations by id, read 100 a call; those that do not exist (any more) are missing.

        One whose id is refused, which does not tell whether it exists, is an empty record.
        """
        return self._by_id(CONVERSATIONS, ids)

    def customer(self, customer_id: str) -> Record | None:
        """One customer; None if there is none of this id."""
        try:
            answer = self._get(CUSTOMER, CUSTOMER.path.format(id=quote(customer_id, safe="")))
        except NotFound:
            return None
        return next(iter(_rows(answer)), None)

    def users(self) -> list[Record]:
        """All users, each once: those of the default list and the deleted ones.

        Whether the default list holds deactivated users is not documented (section 5); an agent who has left
        since still closed the conversation.
        """
        users = {}
        for deleted in ({}, {"deleted": "true"}):
            for answer in self._pages(USERS, deleted, PAGE_SIZE):
                users.update({str(row.get("id")): row for row in _rows(answer)})
        return list(users.values())

    def users_by_id(self, ids: Sequence[str]) -> dict[str, Record]:
        """The users by id, read 100 a call; unknown ones are missing, or empty records if their id is refused."""
        return self._by_id(USERS_BY_ID, ids)

    def tags(self) -> dict[str, str]:
        """Tag names by id (conversations carry ids, section 4.1)."""
        names = {}
        for answer in self._pages(TAGS, {}, TAGS_PAGE_SIZE):
            for row in _rows(answer):
                attributes = row.get("attributes")
                name = attributes.get("name") if isinstance(attributes, dict) else None
                if isinstance(name, str) and name:
                    names[str(row.get("id"))] = name
        return names

    def test_connection(self) -> tuple[bool, str]:
        """Whether the key works and has the roles the pipeline needs; the text is for people (section 1)."""
        try:
            web_url = self.web_url
            answer = self._get(TOKEN, attempts=1)
        except (ConfigurationError, VendorApiError) as error:
            return False, self._for_the_form(error)
        data = answer["data"]
        attributes = data.get("attributes") if isinstance(data, dict) else None
        roles = attributes.get("roles") if isinstance(attributes, dict) else None
        if not isinstance(roles, list):
            return True, "Kustomer accepts the key, but did not list its roles: they could not be checked."
        lacking = [call for call in (SEARCH, CONVERSATIONS, CUSTOMER, USERS, TAGS) if not _covered(call, roles)]
        if lacking:
            needs = "; ".join(f"{call} needs {call.roles[0]}" for call in lacking)
            return False, (
                f"Kustomer accepts the key, but it lacks {len(lacking)} of the 5 roles needed: {needs}. {_NEW_KEY}"
            )
        return True, f"Kustomer accepts the key and it has all roles needed. Links will lead to {web_url}."

    def _small_windows(
        self, closed_from: datetime, closed_to: datetime, split_above: int
    ) -> Iterator[tuple[datetime, datetime, Iterator[SearchPage]]]:
        """The span in windows of at most `split_above` closings or one millisecond, each with its pages."""
        todo = [(_milliseconds(closed_from), _milliseconds(closed_to))]
        while todo:
            start, end = todo.pop()
            if start >= end:
                continue
            pages = self.search("conversation", _moment(start), _moment(end))
            first = next(pages)
            if first.total > split_above and end - start > 1:
                # Somewhat smaller than allowed: closings are not spread evenly, and each further division costs.
                parts = min(math.ceil(first.total / (split_above * 0.8)), end - start, MOST_PARTS)
                edges = [start + (end - start) * part // parts for part in range(parts + 1)]
                todo += reversed(list(pairwise(edges)))
                continue
            if first.total > PAGE_SIZE * LAST_PAGE:
                raise self._error(
                    BrokenAnswer,
                    SEARCH,
                    f"counts {first.total} closings within the millisecond from {_text(_moment(start))}, more than "
                    f"the {PAGE_SIZE * LAST_PAGE} a search returns",
                )
            yield _moment(start), _moment(end), chain([first], pages)

    def _window(
        self,
        closed_from: datetime,
        closed_to: datetime,
        pages: Iterable[SearchPage],
        conversation: Callable[[Record], ConversationT],
        customer: Callable[[Record], CustomerT],
    ) -> SearchWindow[ConversationT, CustomerT]:
        """One window, of which `pages` are the first reading."""
        found: dict[str, ConversationT] = {}
        customer_ids: set[str] = set()
        short_by = 0
        for reading in range(READS_OF_A_SHORT_WINDOW):
            nameless = []  # rows without an id: kept, for the caller to count, but not told apart
            total = 0
            for page in pages:
                total = page.total
                for record in page.records:
                    identity = _id(record)
                    if identity is None:
                        nameless.append(conversation(record))
                        continue
                    found[identity] = conversation(record)
                    if owner := _customer_id(record):
                        customer_ids.add(owner)
            short_by = max(0, total - len(found) - len(nameless))
            if not short_by:
                break
            self.log.warning(
                "Search for closings from %s to %s returned %d rows less than it counted (reading %d of %d)",
                _text(closed_from),
                _text(closed_to),
                short_by,
                reading + 1,
                READS_OF_A_SHORT_WINDOW,
            )
            pages = self.search("conversation", closed_from, closed_to)
        customers = self._customers(closed_from, closed_to, customer_ids, customer)
        return SearchWindow(closed_from, closed_to, [*found.values(), *nameless], customers, short_by)

    def _customers(
        self,
        closed_from: datetime,
        closed_to: datetime,
        wanted: set[str],
        customer: Callable[[Record], CustomerT],
    ) -> list[CustomerT]:
        """Those of the `wanted` customers that the search returns, as long as single reads would cost more.

        It may return everybody with one closing after the start and another before the end: for an old window
        most customers there are.
        """
        found: dict[str, CustomerT] = {}
        if wanted:
            for number, page in enumerate(self.search("customer", closed_from, closed_to), 1):
                found.update({one: customer(record) for record in page.records if (one := _id(record)) in wanted})
                to_come = min(math.ceil(page.total / PAGE_SIZE), LAST_PAGE) - number
                if len(wanted) - len(found) <= max(0, to_come) * READS_FOR_A_SEARCH:
                    break
        return list(found.values())

    def _by_id(self, call: Call, ids: Sequence[str]) -> dict[str, Record]:
        unique = list(dict.fromkeys(ids))
        found: dict[str, Record] = {}
        for start in range(0, len(unique), IDS_PER_CALL):
            wanted = unique[start : start + IDS_PER_CALL]
            if len(wanted) > 1:
                try:
                    found |= self._some_by_id(call, wanted)
                except Refused:
                    # How a list with an unknown id is answered is not documented; one by one settles it.
                    self.log.warning("%s refused %d ids at once; asking one by one", call, len(wanted))
                except OutcomeUnknown as error:
                    # Of a user an empty record would be read as one without an address, for good.
                    if call is not CONVERSATIONS or error.status is None:
                        raise
                    found |= self._around_the_broken(call, wanted)
            for one in wanted:
                if one not in found:
                    try:
                        found |= self._some_by_id(call, [one])
                    except NotFound:
                        self.log.info("%s: %s is not there (any more)", call, one)
                    except Refused as refusal:  # a matter of this id: nobody else's reading fails by it
                        self.log.warning("%s (id %s)", refusal, one)
                        found[one] = {}
        return found

    def _around_the_broken(self, call: Call, ids: Sequence[str]) -> dict[str, Record]:
        """What can be read of ids that get a 5xx together: one broken record must not hold up the rest.

        The half that fails is halved again until one id is left, which is an empty record. Two halves that fail
        are an outage, not a record.
        """
        found: dict[str, Record] = {}
        while len(ids) > 1:
            failed = []
            for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                try:
                    found |= self._some_by_id(call, half, attempts=2)
                except OutcomeUnknown as error:
                    failed.append(half)
                    if len(failed) == 2:
                        raise
                    self.log.warning("%s %d ids of %d at once", error, len(half), len(ids))
            if not failed:
                return found
            (ids,) = failed
        return {**found, ids[0]: {}}

    def _some_by_id(self, call: Call, ids: Iterable[str], *, attempts: int = READ_ATTEMPTS) -> dict[str, Record]:
        path = call.path.format(ids=",".join(quote(one, safe="") for one in ids))
        rows = _rows(self._get(call, path, attempts=attempts))
        return {one: row for row in rows if (one := _id(row)) in set(ids)}

    def _pages(self, call: Call, params: Params, page_size: int, body: object = None) -> Iterator[dict[str, Any]]:
        """Answers of a paged call, until `links.next` is empty or `LAST_PAGE` was read.

        Raises:
            BrokenAnswer: `links.next` names another host, or one that was given before (no progress).
        """
        query: dict[str, str | int] = {**params, "page": 1, "pageSize": page_size}
        seen: set[object] = set()
        for _ in range(LAST_PAGE):
            answer = self._get(call, params=query, body=body)
            yield answer
            links = answer.get("links")
            link = links.get("next") if isinstance(links, dict) else None
            following = self._query_of_next(call, link, own_host_only=True)
            if following is None:
                return
            if link in seen:
                raise self._error(BrokenAnswer, call, "gave the same next page twice")
            seen.add(link)
            query |= following

    def _get(
        self,
        call: Call,
        path: str | None = None,
        *,
        params: Params | None = None,
        body: object = None,
        attempts: int = READ_ATTEMPTS,
    ) -> dict[str, Any]:
        """The answer of a call, throttled and retried; it is an object with `data`, or an exception."""

        def wait_for_turn() -> None:
            if call is SEARCH:
                self._searches.wait()
            self._all_calls.wait()

        answer: dict[str, Any] = self._read(
            call,
            path,
            params=params,
            body=body,
            before=wait_for_turn,
            complete=_lacks_data,
            attempts=attempts,
        )
        return answer

    def _signer(self, path: str) -> Signer:  # noqa: ARG002 - every path is signed alike
        key = self.settings.key

        def sign(request: PreparedRequest) -> PreparedRequest:
            request.headers["Authorization"] = f"Bearer {key}"
            return request

        return sign

    def _key_advice(self, call: Call, status: int) -> str:
        if status == 401:
            return (
                "The key is unknown, expired, or from another region than the host "
                "(https://<org>.api.kustomerapp.com always finds the right one). Put a valid key into the "
                f"password of connection {self.conn_id!r}."
            )
        needs = " or ".join(call.roles) or "a valid key"
        return f"The key of connection {self.conn_id!r} needs {needs}, or may not be used from here. {_NEW_KEY}"


_NEW_KEY = (
    "Roles of a Kustomer key cannot be changed: make a new key with all of them under Settings > Security > "
    "API Keys and put it into the connection's password."
)


def _covered(call: Call, roles: list[Any]) -> bool:
    """Whether one of the key's roles is one that `call` accepts, or a prefix of it (section 1)."""
    held = {role for role in roles if isinstance(role, str)}
    return any(
        ".".join(parts[:length]) in held
        for parts in (role.split(".") for role in call.roles)
        for length in range(1, len(parts) + 1)
    )


def _lacks_data(answer: object) -> str | None:
    data = answer.get("data") if isinstance(answer, dict) else None
    return None if isinstance(data, list | dict) else "answered without data"


def _rows(answer: dict[str, Any]) -> list[Record]:
    """The records of an answer: `data` is a list, or one record when a single id was asked for."""
    data = answer["data"]
    return [row for row in (data if isinstance(data, list) else [data]) if isinstance(row, dict)]


def _id(record: Record) -> str | None:
    value = record.get("id")
    return value if isinstance(value, str) else None


def _customer_id(record: Record) -> str | None:
    try:
        value = record["relationships"]["customer"]["data"]["id"]
    except (KeyError, TypeError):
        return None
    return value if isinstance(value, str) else None


def _milliseconds(moment: datetime) -> int:
    """`moment` as whole milliseconds, rounded up.

    Kustomer's times are whole milliseconds, so rounding both ends up selects exactly the closings in [from, to).
    """
    if moment.tzinfo is None:
        raise ValueError("a window needs times with a time zone")
    return math.ceil((moment - _EPOCH) / _MILLISECOND)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _text(moment: datetime) -> str:
    """Milliseconds and Z, the one form that is documented (section 2.2)."""
    return _moment(_milliseconds(moment)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
