"""The hook for Stella Connect (Medallia Agent Connect): approved agents, requests, Data Return.

Section numbers refer to the Stella Connect fact sheet.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from plugins.vendor_api.connection import secret
from plugins.vendor_api.errors import BrokenAnswer, ConfigurationError, VendorApiError
from plugins.vendor_api.hook import Call, Signer, VendorApiHook
from plugins.vendor_api.throttle import Throttle

if TYPE_CHECKING:
    from requests import PreparedRequest

Record = dict[str, Any]

REQUESTS = Call("POST", "/v1/requests")
RECOVERIES = Call("POST", "/v1/recoveries")
EMPLOYEES = Call("GET", "/v2/employees")
DATA = Call("GET", "/v2/data")

MAX_SECONDS_FOR_AN_ANSWER = 120.0
"""To a POST: giving up earlier turns known outcomes into unknown ones."""

EMPLOYEES_PER_PAGE = 500
MAX_EMPLOYEE_PAGES = 200  # 100,000 agents: a list that names a next page even then never ends
DATA_CALLS_PER_MINUTE = 96  # section 2.7: 100 per key

# The vendor chooses the secret's length, so PyJWT's warning at every call is useless.
warnings.filterwarnings("ignore", message="The HMAC key is")


class StellaConnectHook(VendorApiHook):
    """Reads approved agents and survey results, and sends feedback requests.

    Each call carries the API key; calls under /v2 also carry a token signed for that call (section 1). Several
    threads may call `send` at once.

    Args:
        stella_connect_conn_id: a connection of type `stella_connect`: host, password = API key, extra
            `api_secret`, and `jwt_prefix` if the token needs a prefix in its header.
    """

    conn_name_attr = "stella_connect_conn_id"
    default_conn_name = "stella_connect_default"
    conn_type = "stella_connect"
    hook_name = "Stella Connect"
    default_host = "https://api.stellaconnect.net"
    required_extras = ("api_secret",)

    def __init__(self, stella_connect_conn_id: str = default_conn_name) -> None:
        super().__init__(stella_connect_conn_id)
        self._data_calls = Throttle(DATA_CALLS_PER_MINUTE)

    def active_employees(self) -> list[str]:
        """Return the addresses, as Stella Connect spells them, of the agents with an approved profile.

        Only the list filtered by `status=active` shows it; no answer holds the status (section 3.2). The example
        of `meta.next_page` names another host and lacks the filter. Therefore only its query is used, and our
        parameters win; otherwise unapproved agents would pass from page 2 on.

        Raises:
            VendorApiError: the list may be incomplete. A failure never gives an empty or cut list.
        """
        ours: dict[str, str | int] = {"status": "active", "number_of_employees": EMPLOYEES_PER_PAGE}
        emails: list[str] = []
        seen: set[object] = {None, ""}
        cursor: dict[str, str] = {}
        for _ in range(MAX_EMPLOYEE_PAGES):
            answer = self._read(EMPLOYEES, params={**cursor, **ours}, complete=lacks_employees)
            page = addresses_in(answer)
            if page and set(page) <= set(emails):
                raise self._error(BrokenAnswer, EMPLOYEES, "gave a page of agents again: the rest may be missing")
            emails += page
            link = next_page_of(answer)
            following = self._query_of_next(EMPLOYEES, link)
            if following is None or link in seen:  # null, missing, empty or repeated: the end
                return emails
            seen.add(link)
            cursor = following
        raise self._error(BrokenAnswer, EMPLOYEES, f"names a next page after {MAX_EMPLOYEE_PAGES} pages")

    def send(self, feedback_request: Mapping[str, Any]) -> int:
        """POST a feedback request, or a service recovery, once and return the 2xx status of the answer.

        Each feedback request has a channel, and no service recovery has one (sections 2.1, 4.6).

        Any 2xx means taken. The body repeats the customer's data and holds no id (section
        2.2), so it is neither parsed nor logged. This method never repeats the POST: Stella Connect counts each
        one.

        Raises:
            Refused: not taken, and never will be; `status` and `code` say why.
            RateLimited: not taken; `retry_after` may say when to try again.
            KeyFault: not taken; the key is wrong.
            NeverSent: no byte left this machine.
            OutcomeUnknown: may have been taken. Look it up in `data`, never send it again.
        """
        private = [
            str(value)
            for person in ("customer", "employee")
            for value in (feedback_request.get(person) or {}).values()
        ]
        call = REQUESTS if "channel" in feedback_request else RECOVERIES
        return self._send(
            call, body=feedback_request, private=private, read_seconds=MAX_SECONDS_FOR_AN_ANSWER
        ).status_code

    def data(
        self,
        *,
        after: int | None = None,
        created_at_gte: datetime | None = None,
        limit: int = 1000,
        include_recovery: bool = False,
    ) -> list[Record]:
        """Return one page of Data Return: reports on interactions, oldest first (section 4).

        Args:
            after: only records with a higher `sequence_id`. Pass the highest one seen for the next page.
            created_at_gte: only interactions that Stella Connect received at or after this instant.
            limit: records per page; the last page holds fewer.
            include_recovery: also service recoveries.
        """
        params: dict[str, str | int] = {"limit": limit}
        if after is not None:
            params["after"] = after
        if include_recovery:
            params["include_recovery"] = "true"
        if created_at_gte is not None:
            params["created_at_gte"] = created_at_gte.astimezone(UTC).isoformat(timespec="seconds")
        answer = self._read(DATA, params=params, before=self._data_calls.wait, complete=_lacks_records)
        return _listed(answer)

    def test_connection(self) -> tuple[bool, str]:
        """Check whether key and secret are accepted; the text is for people."""
        params: dict[str, str | int] = {"status": "active", "number_of_employees": 1}
        try:
            self._read(EMPLOYEES, params=params, complete=lacks_employees, attempts=1)
        except (ConfigurationError, VendorApiError) as error:
            return False, self._for_the_form(error)
        return True, (
            "Stella Connect accepts the key and the secret. It does not say whether they belong to the test or the "
            "production account; with the test key every survey goes to the test address."
        )

    @property
    def jwt_prefix(self) -> str:
        """Return what stands before the token in its header; empty for the bare token."""
        return str(self.settings.extra.get("jwt_prefix") or "").strip()

    @cached_property
    def _api_secret(self) -> str:
        return secret(self.conn_id, "api_secret", str(self.settings.extra["api_secret"]))

    def _secrets(self) -> list[str]:
        return [*super()._secrets(), self._api_secret]

    def _signer(self, path: str) -> Signer:
        key = self.settings.key

        def sign(request: PreparedRequest) -> PreparedRequest:
            request.headers["x-api-key"] = key
            if path.startswith("/v2/"):
                import jwt  # imported here, because parsing a DAG file imports this module but signs nothing

                # Section 1: HS256 over an `iat` in whole seconds; how long a token lives is unknown, so each
                # call gets its own. Airflow's masker does not learn it: for each it compiles all patterns anew,
                # after an hour of reading for seconds. `_judge` takes it out of an answer's words.
                token = jwt.encode({"iat": int(time.time())}, self._api_secret, algorithm="HS256")
                request.headers["Authorization"] = f"{self.jwt_prefix} {token}".strip()
            return request

        return sign

    def _key_advice(self, call: Call, status: int) -> str:  # noqa: ARG002 - the vendor says 403 to everything
        where = f"connection {self.conn_id!r}"
        if call in (REQUESTS, RECOVERIES):
            return f"Put a valid API key into the password of {where}."
        return (
            f'Check the password (API key) and "api_secret" of {where}; they belong together (test and '
            'production have a pair each), this machine\'s clock, and whether the token needs a "jwt_prefix".'
        )


def _listed(rows: object) -> list[Record]:
    """Read a list, or the single object that the spec shows in its place (sections 3.2 and 4.1)."""
    return [row for row in (rows if isinstance(rows, list) else [rows]) if isinstance(row, dict)]


def addresses_in(answer: Record) -> list[str]:
    """Return the addresses in a page of employees."""
    return [address for row in _listed(answer["employees"]) if isinstance(address := row.get("email"), str)]


def next_page_of(answer: Record) -> Any:
    """Return the link to the next page of employees as it was given; None if there is none."""
    meta = answer.get("meta")
    return meta.get("next_page") if isinstance(meta, dict) else None


def lacks_employees(answer: object) -> str | None:
    """Say what an answer lacks to be a page of employees."""
    rows = answer.get("employees") if isinstance(answer, dict) else None
    return None if isinstance(rows, list | dict) else "answered without employees"


def _lacks_records(answer: object) -> str | None:
    single = isinstance(answer, dict) and "uuid" in answer
    return None if isinstance(answer, list) or single else "answered without a list of records"
