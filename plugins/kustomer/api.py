"""What every call to Kustomer shares. Section numbers refer to the Kustomer fact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from plugins.kustomer.by_id import Record
from plugins.kustomer.calls import SEARCH
from plugins.vendor_api.errors import BrokenAnswer
from plugins.vendor_api.hook import READ_ATTEMPTS, Call, Params, Signer, VendorApiHook
from plugins.vendor_api.throttle import Throttle

if TYPE_CHECKING:
    from requests import PreparedRequest

MAX_PAGES = 100  # section 2.3: a hard limit, though `links.next` points beyond it

NEW_KEY = (
    "Kustomer cannot change the roles of a key. Create a new key with all of them under Settings > Security > "
    "API Keys and put it into the connection's password."
)


class KustomerApi(VendorApiHook):
    """What all calls to Kustomer share: limits, signature, paging, retries of reads.

    All calls stay below `requests_per_minute`, because every integration of the organisation shares the budget.
    Searches also stay below `searches_per_minute` (documented limit of a key: 100).

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

    def _pages(
        self,
        call: Call,
        params: Params,
        page_size: int,
        body: object = None,
        attempts: int = READ_ATTEMPTS,
        *,
        path: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the answers of a paged call until `links.next` is empty or `MAX_PAGES` were read.

        Raises:
            BrokenAnswer: `links.next` is not text, or repeats (no progress).
        """
        query: dict[str, str | int] = {**params, "page": 1, "pageSize": page_size}
        seen: set[object] = set()
        for _ in range(MAX_PAGES):
            answer = self._get(call, path, params=query, body=body, attempts=attempts)
            yield answer
            links = answer.get("links")
            link = links.get("next") if isinstance(links, dict) else None
            following = self._query_of_next(call, link)
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
        """Return the answer of a throttled and retried call: an object with `data`."""

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
                "(https://<org>.api.kustomerapp.com works in every region). Put a valid key into the "
                f"password of connection {self.conn_id!r}."
            )
        needs = " or ".join(call.roles) or "a valid key"
        return f"The key of connection {self.conn_id!r} needs {needs}, or may not be used from here. {NEW_KEY}"


def path_of(call: Call, **gaps: str | Sequence[str]) -> str:
    """Return the path of a call with its gaps filled; several ids are joined by commas."""
    parts = {name: [value] if isinstance(value, str) else value for name, value in gaps.items()}
    return call.path.format(
        **{name: ",".join(quote(text, safe="") for text in texts) for name, texts in parts.items()}
    )


def id_of(record: Record) -> str | None:
    """Return the record's id, or None."""
    value = record.get("id")
    return value if isinstance(value, str) else None


def attributes_of(record: Record) -> Record:
    """Return the attributes of a record; empty if it has none."""
    attributes = record.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _lacks_data(answer: object) -> str | None:
    data = answer.get("data") if isinstance(answer, dict) else None
    return None if isinstance(data, list | dict) else "answered without data"


def rows_of(answer: dict[str, Any]) -> list[Record]:
    """Return the records of an answer: `data` is a list, or one record for a single id."""
    data = answer["data"]
    return [row for row in (data if isinstance(data, list) else [data]) if isinstance(row, dict)]
