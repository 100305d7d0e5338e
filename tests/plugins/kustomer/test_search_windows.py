"""Windows of a search: divided, read again, and with their customers."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from plugins.vendor_api.errors import BrokenAnswer
from tests.plugins.kustomer.searching import HOUR, T0, Search, conversation, ids, spread, windows

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
