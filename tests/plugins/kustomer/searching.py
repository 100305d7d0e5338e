"""A stand-in that searches a list as Kustomer does."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from plugins.kustomer.hook import KustomerHook
from plugins.kustomer.search import ClosingsSearch, SearchWindow

T0 = datetime(2026, 1, 5, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)

Record = dict[str, Any]


def conversation(number: int, closed_at: datetime, customer: str | None = None) -> Record:
    owner = {"customer": {"data": {"type": "customer", "id": customer or f"customer{number}"}}}
    attributes = {"status": "done", "lastDone": {"createdAt": text(closed_at)}}
    return {"type": "conversation", "id": f"c{number}", "attributes": attributes, "relationships": owner}


def text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spread(count: int, over: timedelta = HOUR) -> list[Record]:
    """`count` closings, evenly over the hour from T0."""
    return [conversation(n, T0 + over * n / count) for n in range(count)]


class Search:
    """Answers searches over `records` as Kustomer does; the switches below make it misbehave."""

    def __init__(self, server: HTTPServer, records: Iterable[Record] = ()) -> None:
        self.records = list(records)
        self.calls: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.link: Callable[[int], str | None] = lambda page: f"/v1/customers/search?page={page}&pageSize=500"
        self.always_more = False
        self.hidden: dict[int, int] = {}  # number of the call → rows left out of its answer
        self.before: dict[int, Callable[[], object]] = {}  # number of the call → what happens before its answer
        self.breaks: Callable[[list[Record]], bool] = lambda _: False
        self.total: int | None = None
        self.others = 1  # customers who are not of the window and come first
        server.expect_request("/v1/customers/search", "POST").respond_with_handler(self._answer)

    def calls_for(self, context: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
        return [call for call in self.calls if call[0]["queryContext"] == context]

    def _answer(self, request: Request) -> Response:
        body, query = json.loads(request.data), request.args.to_dict()
        self.calls.append((body, query))
        self.before.get(len(self.calls), lambda: None)()
        bounds = {
            operator: value
            for criterion in body["and"]
            for attribute, test in criterion.items()
            for operator, value in test.items()
            if attribute == "conversation_last_done_created_at"
        }
        rows = [
            row
            for row in self.records
            if bounds["gte"] <= row["attributes"]["lastDone"]["createdAt"] < bounds["lt"]
        ]
        if body["queryContext"] == "customer":
            ids = dict.fromkeys(row["relationships"]["customer"]["data"]["id"] for row in rows)
            others = [f"other{number}" for number in range(self.others)]
            rows = [{"type": "customer", "id": one} for one in [*others, *ids]]
        page, size = int(query["page"]), int(query["pageSize"])
        if self.breaks(rows):
            return Response("", status=500)
        shown = rows[(page - 1) * size : page * size]
        shown = shown[self.hidden.get(len(self.calls), 0) :]
        more = self.always_more or page * size < len(rows)
        answer = {
            "data": shown,
            "meta": {"total": len(rows) if self.total is None else self.total},
            "links": {"next": self.link(page + 1) if more else None},
        }
        return Response(json.dumps(answer), content_type="application/json")


def windows(start: datetime = T0, end: datetime = T0 + HOUR, **options: Any) -> Iterator[SearchWindow[str, str]]:
    with KustomerHook(requests_per_minute=0, searches_per_minute=0) as hook:
        search = ClosingsSearch(
            hook,
            read_conversation=lambda record: record.get("id", "?"),
            read_customer=lambda record: record["id"],
            **options,
        )
        yield from search.windows(start, end)


def ids(found: Iterable[SearchWindow[str, str]]) -> list[str]:
    return [one for window in found for one in window.conversations]
