"""Calls to Kustomer that only *Check both vendors* makes: raw answers, with few retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugins.kustomer.api import id_of, path_of, rows_of
from plugins.kustomer.by_id import Record
from plugins.kustomer.calls import CONVERSATIONS, FOR_NAMES, NEEDED, TOKEN, USERS, calls_without_role
from plugins.kustomer.hook import PAGE_SIZE, KustomerHook, roles_in
from plugins.vendor_api.errors import BrokenAnswer, VendorApiError

LOOK_ATTEMPTS = 2
"""Attempts per call, because a person waits."""


class KustomerLook(KustomerHook):
    """The hook, with the calls that show how Kustomer answers."""

    def _read(self, *arguments: Any, **options: Any) -> Any:
        return super()._read(*arguments, **options | {"attempts": LOOK_ATTEMPTS})

    def list_lacking_roles(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Return the roles that the key lacks: for every run, and for settings with names or a schedule.

        None if Kustomer does not list the roles of the key.
        """
        roles = roles_in(self._get(TOKEN))
        if roles is None:
            return None
        needed, further = (calls_without_role(roles, calls) for calls in (NEEDED, FOR_NAMES))
        return tuple(call.roles[0] for call in needed), tuple(call.roles[0] for call in further)

    def list_conversations_once(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return what one call for these ids gives, whatever it leaves out."""
        answer = self._get(CONVERSATIONS, path_of(CONVERSATIONS, ids=ids))
        return {known: row for row in rows_of(answer) if (known := id_of(row))}

    def status_of(self, conversation_id: str) -> tuple[int | None, Record]:
        """Return the HTTP status of a read by id, and the record; status None without an answer."""
        try:
            return 200, self.list_conversations_once([conversation_id]).get(conversation_id, {})
        except BrokenAnswer:
            return 200, {}
        except VendorApiError as error:
            return error.status, {}

    def list_users_where(self, *, deleted: bool) -> dict[str, Record]:
        """Return by id the users of the default list, or those of the list of deleted users."""
        pages = self._pages(USERS, {"deleted": "true"} if deleted else {}, PAGE_SIZE)
        return {known: row for answer in pages for row in rows_of(answer) if (known := id_of(row))}
