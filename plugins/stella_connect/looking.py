"""Calls to Stella Connect that only *Check both vendors* makes. All of them read."""

from __future__ import annotations

from typing import Any, NoReturn
from urllib.parse import urlsplit

from plugins.stella_connect.hook import (
    EMPLOYEES,
    EMPLOYEES_PER_PAGE,
    StellaConnectHook,
    addresses_in,
    lacks_employees,
    next_page_of,
)

LOOK_ATTEMPTS = 2
"""Attempts per call, because a person waits."""


class StellaConnectLook(StellaConnectHook):
    """The hook, with the calls that show how Stella Connect answers. It cannot send a request.

    Args:
        stella_connect_conn_id: as for the hook.
        jwt_prefix: tried in place of the connection's.
    """

    def __init__(self, stella_connect_conn_id: str, jwt_prefix: str | None = None) -> None:
        super().__init__(stella_connect_conn_id)
        self._prefix = jwt_prefix

    @property
    def jwt_prefix(self) -> str:
        """Return the prefix to try, else the connection's."""
        return super().jwt_prefix if self._prefix is None else self._prefix

    def send(self, feedback_request: object) -> NoReturn:
        """Refuse: a check sends nothing."""
        raise NotImplementedError

    def _read(self, *arguments: Any, **options: Any) -> Any:
        return super()._read(*arguments, **options | {"attempts": LOOK_ATTEMPTS})

    def list_with_status(self, status: str) -> list[str]:
        """Return the addresses of the first page of employees with a status."""
        params: dict[str, str | int] = {"number_of_employees": EMPLOYEES_PER_PAGE, "status": status}
        return addresses_in(self._read(EMPLOYEES, params=params, complete=lacks_employees))

    def list_pages_of_one(self, pages: int) -> tuple[list[str], str | None]:
        """Return the addresses of the first pages of active employees, one on each, and the first link's host.

        The pages are followed as `active_employees` follows them. The host is None if there is no next page.
        """
        ours: dict[str, str | int] = {"status": "active", "number_of_employees": 1}
        addresses: list[str] = []
        cursor: dict[str, str] | None = {}
        host = None
        for _ in range(pages):
            answer = self._read(EMPLOYEES, params={**(cursor or {}), **ours}, complete=lacks_employees)
            addresses += addresses_in(answer)
            link = next_page_of(answer)
            cursor = self._query_of_next(EMPLOYEES, link)
            if cursor is None:
                break
            host = host or urlsplit(str(link)).netloc or "no host"
        return addresses, host
