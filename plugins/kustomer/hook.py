"""The hook for Kustomer: one method per call.

Section numbers refer to the Kustomer fact sheet. `search.py` searches a whole span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from plugins.kustomer.api import NEW_KEY, attributes_of, id_of, path_of, rows_of
from plugins.kustomer.by_id import Record, RecordsById, read_by_id
from plugins.kustomer.calls import (
    CONVERSATIONS,
    CUSTOMER,
    FURTHER,
    LISTS,
    NEEDED,
    SCHEDULE,
    SCHEDULES,
    SEARCH,
    TOKEN,
    USERS,
    USERS_BY_ID,
    calls_without_role,
)
from plugins.kustomer.instants import as_text
from plugins.kustomer.writing import WritingCalls
from plugins.vendor_api.connection import checked_url
from plugins.vendor_api.errors import BrokenAnswer, ConfigurationError, NotFound, VendorApiError
from plugins.vendor_api.hook import READ_ATTEMPTS, Call

PAGE_SIZE = 500
LIST_PAGE_SIZE = 100  # section 6: the usual maximum of a list; 500 is known for few


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
class Schedule:
    """The attributes of a business schedule and of its holidays, raw."""

    attributes: Record
    holidays: list[Record]


class KustomerHook(WritingCalls):
    """Reads from Kustomer; `WritingCalls` are what it writes."""

    @property
    def web_url(self) -> str:
        """Return the organisation's Kustomer address for links, without trailing slash.

        Raises:
            ConfigurationError: it is missing or not an address.
        """
        return checked_url(self.conn_id, '"web_url" of the extra', str(self.settings.extra["web_url"]).strip())

    def search(
        self,
        context: Literal["conversation", "customer"],
        closed_from: datetime,
        closed_to: datetime,
        *,
        any_status: bool = False,
        include_deleted: bool = False,
        attempts: int = READ_ATTEMPTS,
    ) -> Iterator[SearchPage]:
        """Yield the pages of the search for closings in [`closed_from`, `closed_to`), at most `MAX_PAGES`.

        Context `customer` gives the customers of these conversations, and possibly others: whether all criteria
        must hold for the same conversation is unknown (section 5). `any_status` also finds conversations that are
        no longer done.

        Raises:
            BrokenAnswer: no `data`, no total, or repeated next-page links.
        """
        done = [] if any_status else [{"conversation_status": {"equals": "done"}}]
        body: dict[str, Any] = {
            "queryContext": context,
            # One criterion each: two operators in one are not documented (section 2.1).
            "and": [
                *done,
                {"conversation_last_done_created_at": {"gte": as_text(closed_from)}},
                {"conversation_last_done_created_at": {"lt": as_text(closed_to)}},
            ],
            "sort": [{f"{context}_updated_at": "asc"}],
        }
        if include_deleted:
            body["includeDeleted"] = True
        for answer in self._pages(SEARCH, {}, PAGE_SIZE, body, attempts):
            meta = answer.get("meta")
            total = meta.get("total") if isinstance(meta, dict) else None
            if not isinstance(total, int):
                raise self.search_error("gave no meta.total, so completeness cannot be checked")
            yield SearchPage(rows_of(answer), total)

    def search_error(self, problem: str) -> VendorApiError:
        """Return the exception for a search whose answer cannot be used."""
        return self._error(BrokenAnswer, SEARCH, problem)

    def read_conversations(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return conversations by id, 100 per call, without those that do not exist (any more).

        A conversation that cannot be read is an empty record: whether it exists is unknown.

        Raises:
            VendorApiError: none of them can be read.
        """
        result = self._read_by_id(CONVERSATIONS, ids)
        return result.found | {id_: {} for id_ in result.unreadable}

    def read_users(self, ids: Sequence[str]) -> RecordsById:
        """Return users by id, 100 per call.

        Raises:
            VendorApiError: none of them can be read.
        """
        return self._read_by_id(USERS_BY_ID, ids)

    def read_customer(self, customer_id: str, *, attempts: int = READ_ATTEMPTS) -> Record | None:
        """Return one customer; None if the id does not exist."""
        try:
            answer = self._get(CUSTOMER, path_of(CUSTOMER, id=customer_id), attempts=attempts)
        except NotFound:
            return None
        record = next(iter(rows_of(answer)), {})
        if id_of(record) is None:
            raise self._error(BrokenAnswer, CUSTOMER, "answered without the requested record")
        return record

    def list_users(self) -> list[Record]:
        """Return all users, each once: the default list and the deleted users.

        It is not documented whether the default list holds deactivated users (section 5). An agent who has left
        still closed the conversation.
        """
        users = {}
        for deleted in ({}, {"deleted": "true"}):
            for answer in self._pages(USERS, deleted, PAGE_SIZE):
                users.update({str(row.get("id")): row for row in rows_of(answer)})
        return list(users.values())

    def list_names(self, kind: str) -> dict[str, str]:
        """Return names by id of all brands, queues, teams, sub-statuses or tags (section 8.1)."""
        return self._names_by_id(LISTS[kind])

    def list_schedules(self) -> dict[str, str]:
        """Return names of the business schedules by id (section 8.1)."""
        return self._names_by_id(SCHEDULES)

    def read_schedule(self, schedule_id: str) -> Schedule:
        """Return a business schedule with its holidays; "default" is the default schedule (section 8.1)."""
        answer = self._get(SCHEDULE, path_of(SCHEDULE, id=schedule_id), params={"include": "holidays"})
        included = answer.get("included")
        holidays = [row for row in included if isinstance(row, dict)] if isinstance(included, list) else []
        return Schedule(
            attributes_of(next(iter(rows_of(answer)), {})),
            [attributes_of(row) for row in holidays if "holiday" in str(row.get("type"))],
        )

    def _names_by_id(self, call: Call) -> dict[str, str]:
        names = {}
        for answer in self._pages(call, {}, LIST_PAGE_SIZE):
            for row in rows_of(answer):
                attributes = attributes_of(row)
                name = attributes.get("name") or attributes.get("label")  # a sub-status has a label
                if isinstance(name, str) and name:
                    names[str(row.get("id"))] = name
        return names

    def read_organisation_id(self) -> str | None:
        """Return the id of the key's organisation (section 8.1); None if the answer lacks it."""
        organisation: Any = self._get(TOKEN)
        for name in ("data", "relationships", "org", "data", "id"):
            organisation = organisation.get(name) if isinstance(organisation, dict) else None
        return organisation if isinstance(organisation, str) and organisation else None

    def list_calls_without_role(self, calls: Sequence[Call]) -> list[Call]:
        """Return those of the calls for which the key lacks a role; none if Kustomer does not list its roles."""
        roles = roles_in(self._get(TOKEN))
        return [] if roles is None else calls_without_role(roles, calls)

    def test_connection(self) -> tuple[bool, str]:
        """Check the key and its roles; the text is for people (section 1)."""
        try:
            web_url = self.web_url
            answer = self._get(TOKEN, attempts=1)
        except (ConfigurationError, VendorApiError) as error:
            return False, self._for_the_form(error)
        roles = roles_in(answer)
        if roles is None:
            return True, "Kustomer accepts the key, but did not list its roles: they could not be checked."
        if lacking := calls_without_role(roles):
            needs = "; ".join(f"{call} needs {call.roles[0]}" for call in lacking)
            return False, (
                f"Kustomer accepts the key, but it lacks {len(lacking)} of the {len(NEEDED)} roles needed: {needs}"
                f". {NEW_KEY}"
            )
        hints = "".join(
            f" {what} can also need: {', '.join(call.roles[0] for call in further)}."
            for what, calls in FURTHER.items()
            if (further := calls_without_role(roles, calls))
        )
        hint = f"{hints} {NEW_KEY}" if hints else ""
        return True, f"Kustomer accepts the key, and it has all needed roles. Links will lead to {web_url}.{hint}"

    def _read_by_id(self, call: Call, ids: Sequence[str]) -> RecordsById:
        def read_list(some: Sequence[str], attempts: int) -> dict[str, Record]:
            wanted = set(some)
            rows = rows_of(self._get(call, path_of(call, ids=some), attempts=attempts))
            found = {id_: row for row in rows if (id_ := id_of(row)) in wanted and id_ is not None}
            if len(wanted) == 1 and not found:
                raise self._error(BrokenAnswer, call, "answered without the requested record")
            return found

        return read_by_id(read_list, ids)


def roles_in(token: Record) -> list[Any] | None:
    """Return the roles in an answer about the key; None if it does not list them."""
    roles = attributes_of(next(iter(rows_of(token)), {})).get("roles")
    return roles if isinstance(roles, list) else None
