"""Finding closings: the question, its pages and its failures."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from plugins.kustomer.hook import KustomerHook
from plugins.vendor_api.errors import BrokenAnswer, KeyFault, OutcomeUnknown
from tests.plugins.kustomer.searching import HOUR, T0, Record, Search, conversation, ids, spread, windows
from tests.support.bad_server import answer, http, serving

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
        (whole,) = windows()
        assert len(whole.conversations) == 501
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
    assert "Create a new key" in str(lacking.value)
    assert len(kustomer_server.log) == 1


def test_an_expired_key_says_so(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_request("/v1/customers/search").respond_with_json(
        {"errors": [{"code": "unauthorized", "title": "Expired token"}]}, status=401
    )
    with pytest.raises(KeyFault, match=r"401 unauthorized \(Expired token\).*expired, or from another region"):
        list(windows())
