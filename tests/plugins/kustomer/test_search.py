"""Finding closings: windows of time, over a stand-in that searches a list."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from plugins.kustomer.hook import KustomerHook
from plugins.kustomer.search import ClosingsSearch, SearchWindow
from plugins.vendor_api.errors import BrokenAnswer, KeyFault, OutcomeUnknown
from tests.support.bad_server import answer, http, serving

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


# --- the question --------------------------------------------------------------------------------------------


def test_the_question_is_the_documented_one(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server)
    assert ids(windows()) == []
    body, query = search.calls[0]
    assert query == {"page": "1", "pageSize": "500"}
    assert body == {
        "queryContext": "conversation",
        "and": [
            {"conversation_status": {"equals": "done"}},
            {"conversation_last_done_created_at": {"gte": "2026-01-05T10:00:00.000Z"}},
            {"conversation_last_done_created_at": {"lt": "2026-01-05T11:00:00.000Z"}},
        ],
        "sort": [{"conversation_updated_at": "asc"}],
    }
    assert kustomer_server.log[0][0].headers["Authorization"] == "Bearer kustomer-key-of-tests"


def test_a_window_is_half_open_to_the_millisecond(kustomer_server: HTTPServer) -> None:
    millisecond = timedelta(milliseconds=1)
    edges = [T0 - millisecond, T0, T0 + HOUR - millisecond, T0 + HOUR]
    Search(kustomer_server, [conversation(n, at) for n, at in enumerate(edges)])
    assert ids(windows()) == ["c1", "c2"]


def test_microseconds_are_rounded_so_that_neighbours_share_nothing(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server)
    list(windows(T0 + timedelta(microseconds=1), T0 + timedelta(microseconds=1001)))
    _, start, end = search.calls[0][0]["and"]
    assert start["conversation_last_done_created_at"] == {"gte": "2026-01-05T10:00:00.001Z"}
    assert end["conversation_last_done_created_at"] == {"lt": "2026-01-05T10:00:00.002Z"}


def test_an_empty_span_asks_nothing(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server)
    assert list(windows(T0, T0)) == []
    assert search.calls == []


def test_a_time_without_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="time zone"):
        list(windows(datetime(2026, 1, 5), datetime(2026, 1, 6)))  # noqa: DTZ001 - that is the point


# --- pages -----------------------------------------------------------------------------------------------------


def test_all_pages_are_read_with_the_same_question(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(1201))
    assert ids(windows()) == [f"c{n}" for n in range(1201)]
    calls = search.calls_for("conversation")
    assert [query["page"] for _, query in calls] == ["1", "2", "3"]
    assert all(body == calls[0][0] for body, _ in calls)


def test_a_row_that_comes_twice_counts_once(kustomer_server: HTTPServer) -> None:
    rows = spread(600)
    search = Search(kustomer_server, [*rows, *rows[:10]])
    search.total = 600
    (window,) = windows()
    assert len(window.conversations) == len(set(window.conversations)) == 600
    assert window.short_by == 0


def test_a_next_page_on_another_host_is_asked_of_our_own(kustomer_server: HTTPServer) -> None:
    """An organisation's host may answer with links to the generic one; the key must not go anywhere else."""
    with serving(answer(http("200 OK", b'{"data": []}'))) as foreign:
        search = Search(kustomer_server, spread(501))
        search.link = lambda page: f"{foreign.url}/v1/customers/search?page={page}"
        assert len(ids(windows())) == 501
        assert foreign.connections == 0


def test_a_full_link_to_our_own_host_is_followed(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(501))
    search.link = lambda page: kustomer_server.url_for(f"/v1/customers/search?page={page}")
    assert len(ids(windows())) == 501


def test_pages_that_turn_in_circles_are_an_error(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(501))
    search.always_more = True
    search.link = lambda _: "/v1/customers/search?page=2"
    with pytest.raises(BrokenAnswer, match="same next page twice"):
        list(windows())


def test_page_101_is_never_asked_for(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(10))
    search.always_more = True
    with KustomerHook(requests_per_minute=0, searches_per_minute=0) as hook:
        assert len(list(hook.search("conversation", T0, T0 + HOUR))) == 100
    assert search.calls[-1][1]["page"] == "100"


@pytest.mark.parametrize(
    "answer_body",
    [
        {"errors": []},
        {"data": None},
        {"data": [], "links": {"next": None}},
        {"data": [], "meta": {"total": "7"}},
        {"data": [], "meta": {"total": 600}, "links": {"next": 7}},
    ],
)
def test_an_answer_that_lacks_something_is_never_an_empty_page(
    kustomer_server: HTTPServer, answer_body: dict[str, Any]
) -> None:
    kustomer_server.expect_request("/v1/customers/search").respond_with_json(answer_body)
    with pytest.raises(BrokenAnswer, match="POST /v1/customers/search"):
        list(windows())


def test_a_search_is_a_read_and_is_tried_again(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_oneshot_request("/v1/customers/search").respond_with_data("", status=503)
    Search(kustomer_server, spread(3))
    assert len(ids(windows())) == 3


def poisoned(kustomer_server: HTTPServer, records: Iterable[Record], *poison: str) -> Search:
    """A search that answers 500 whenever it would return one of the poisonous conversations."""
    search = Search(kustomer_server, records)
    search.breaks = lambda rows: any(row["id"] in poison for row in rows)
    return search


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("poison", [["c77"], ["c0"], ["c299"], ["c3", "c250"]])
def test_a_conversation_that_breaks_the_search_costs_only_its_own_millisecond(
    kustomer_server: HTTPServer, poison: list[str]
) -> None:
    records = spread(300)
    poisoned(kustomer_server, records, *poison)
    found = list(windows())
    assert sorted(ids(found)) == sorted({record["id"] for record in records} - set(poison))
    broken = [window for window in found if window.fault]
    assert [window.fault for window in broken] == ["HTTP 500"] * len(poison)
    assert all(window.closed_to - window.closed_from == timedelta(milliseconds=1) for window in broken)


@pytest.mark.usefixtures("no_waiting")
def test_a_search_that_fails_in_too_many_places_leaves_them_unread_and_ends(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(300))
    search.breaks = bool
    found = list(windows())
    assert ids(found) == []
    broken = [(window.closed_from, window.closed_to) for window in found if window.fault]
    assert all(any(start <= T0 + HOUR * n / 300 < end for start, end in broken) for n in range(300))
    assert len(search.calls) < 300


def test_an_outage_is_an_error_not_an_empty_hour(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_request("/v1/customers/search").respond_with_data("", status=500)
    with pytest.raises(OutcomeUnknown):
        list(windows())


def test_a_missing_role_is_named_with_the_way_out(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_request("/v1/customers/search").respond_with_json({"errors": []}, status=403)
    with pytest.raises(KeyFault) as lacking:
        list(windows())
    assert "org.permission.search.create" in str(lacking.value)
    assert "create a new key" in str(lacking.value)
    assert len(kustomer_server.log) == 1


def test_an_expired_key_says_so(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_request("/v1/customers/search").respond_with_json(
        {"errors": [{"code": "unauthorized", "title": "Expired token"}]}, status=401
    )
    with pytest.raises(KeyFault, match=r"401 unauthorized \(Expired token\).*expired, or from another region"):
        list(windows())


# --- dividing ------------------------------------------------------------------------------------------------


def test_a_window_that_holds_too_much_is_divided_before_its_second_page(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(1600))
    found = list(windows(split_above=500))
    assert ids(found) == [f"c{n}" for n in range(1600)]
    assert [(window.closed_from, window.closed_to) for window in found] == [
        (T0 + HOUR * n / 4, T0 + HOUR * (n + 1) / 4) for n in range(4)
    ]
    assert {query["page"] for _, query in search.calls_for("conversation")} == {"1"}


def test_windows_are_read_one_at_a_time_as_the_caller_asks_for_them(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(800))
    coming = windows(split_above=50)
    first = next(coming)
    # Of 20 windows one has been read, after the search that told that it takes so many.
    assert len(search.calls_for("conversation")) == 1 + 1
    found = [first, *coming]
    assert [window.closed_from for window in found] == sorted(window.closed_from for window in found)
    assert sum(len(window.conversations) for window in found) == 800


def test_what_is_spread_unevenly_is_divided_again_where_it_is_dense(kustomer_server: HTTPServer) -> None:
    dense = [conversation(n, T0 + timedelta(seconds=n / 10)) for n in range(900)]
    Search(kustomer_server, [*dense, *(conversation(n, T0 + timedelta(minutes=n / 20)) for n in range(1000, 1100))])
    found = list(windows(split_above=200))
    assert len(ids(found)) == 1000
    assert max(len(window.conversations) for window in found) <= 200
    assert [window.closed_from for window in found[1:]] == [window.closed_to for window in found[:-1]]


def test_dividing_ends_at_the_millisecond(kustomer_server: HTTPServer) -> None:
    at_once = T0 + timedelta(minutes=20)
    Search(kustomer_server, [conversation(n, at_once) for n in range(700)])
    found = list(windows(split_above=10))
    assert len(ids(found)) == 700
    (full,) = [window for window in found if window.conversations]
    assert full.closed_to - full.closed_from == timedelta(milliseconds=1)


def test_a_millisecond_beyond_the_depth_of_a_search_is_a_clear_error(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(3))
    search.total = 50_001
    with pytest.raises(BrokenAnswer, match=r"50001 closings within the millisecond from 2026-01-05T10:00:00.000Z"):
        list(windows())


# --- rows that are missing -----------------------------------------------------------------------------------


def test_a_short_window_is_read_again(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(600))
    search.hidden = {2: 40}
    found = list(windows())
    assert len(set(ids(found))) == 600
    assert [window.short_by for window in found] == [0, 0]
    assert len(search.calls_for("conversation")) == 4


def test_a_window_is_read_again_in_parts_of_one_page_which_cannot_contradict_themselves(
    kustomer_server: HTTPServer,
) -> None:
    """Between two pages a conversation of the first is reopened: all others move up by one, and one is missed."""
    search = Search(kustomer_server, spread(600))
    search.before = {2: lambda: search.records.pop(0)}
    found = list(windows())
    assert set(ids(found)) == {f"c{n}" for n in range(1, 600)}
    assert [window.short_by for window in found] == [0, 0]
    assert {query["page"] for _, query in search.calls_for("conversation")[2:]} == {"1"}


def test_pages_of_one_millisecond_that_contradict_each_other_make_it_short(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, [conversation(n, T0) for n in range(600)])
    search.before = dict.fromkeys(range(2, 100, 2), lambda: search.records.pop(0))
    (window,) = windows(T0, T0 + timedelta(milliseconds=1))
    assert window.short_by == 1


def test_what_stays_missing_is_reported_and_the_rest_goes_on(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(20))
    search.total = 23
    (window,) = windows()
    assert len(window.conversations) == 20
    assert window.short_by == 3
    assert len(search.calls_for("conversation")) == 4


def test_rows_without_an_id_are_handed_on_and_do_not_make_a_window_short(kustomer_server: HTTPServer) -> None:
    nameless = conversation(7, T0)
    del nameless["id"]
    search = Search(kustomer_server, [*spread(3), nameless])
    (window,) = windows()
    assert sorted(window.conversations) == ["?", "c0", "c1", "c2"]
    assert window.short_by == 0
    assert len(search.calls_for("conversation")) == 1


# --- customers -----------------------------------------------------------------------------------------------


def test_the_customers_of_the_window_come_by_the_same_question(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(3))
    (window,) = windows()
    assert sorted(window.customers) == ["customer0", "customer1", "customer2"]
    (customer_call,) = search.calls_for("customer")
    assert customer_call[0]["and"] == search.calls_for("conversation")[0][0]["and"]


def test_customers_are_no_longer_asked_for_when_all_are_found(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, [conversation(n, T0, customer=f"customer{n % 5}") for n in range(1000)])
    search.always_more = True
    search.link = lambda page: f"/v1/customers/search?page={page}" if page < 4 else None
    (window,) = windows()
    assert sorted(window.customers) == [f"customer{n}" for n in range(5)]
    assert len(search.calls_for("customer")) == 1


def test_customers_among_too_many_others_are_left_to_single_reads(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(3))
    search.others = 10_000
    (window,) = windows()
    assert window.customers == []
    assert len(search.calls_for("customer")) == 1  # of 21 pages, each of which costs as much as three reads


def test_customers_among_others_are_searched_for_while_that_costs_less(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server, spread(1500))
    search.others = 3_000
    (window,) = windows()
    assert len(window.customers) == 1500
    assert len(search.calls_for("customer")) == 9


def test_a_quiet_window_asks_for_no_customers(kustomer_server: HTTPServer) -> None:
    search = Search(kustomer_server)
    list(windows())
    assert search.calls_for("customer") == []


@pytest.mark.parametrize("relationships", [None, {}, {"customer": None}, {"customer": {"data": None}}, []])
def test_a_conversation_without_a_customer_is_still_found(kustomer_server: HTTPServer, relationships: Any) -> None:
    search = Search(kustomer_server, [{**conversation(1, T0), "relationships": relationships}])
    assert ids(windows()) == ["c1"]
    assert search.calls_for("customer") == []
