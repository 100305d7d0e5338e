"""Answers that arrive and are wrong: one record broken, whole collections gone, rows that move."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from include.sandbox import Sandbox

Request = dict[str, Any]
SEARCH = {"method": "POST", "path_prefix": "/v1/customers/search"}
POST = {"method": "POST", "path_prefix": "/v1/requests"}
BY_ID = [{"method": "GET", "path_prefix": f"/v1/{kind}/"} for kind in ("conversations", "customers", "users")]


def ids(answer: requests.Response) -> list[str]:
    return [row["id"] for row in answer.json()["data"]]


def test_every_read_by_id_can_be_404_while_lists_and_search_answer(client: Any, window: Request) -> None:
    found = client.search(window).json()["data"][0]
    client.faults(*({"match": match, "kind": "404"} for match in BY_ID))
    paths = [f"/v1/conversations/{found['id']}", f"/v1/conversations/{found['id']},x", "/v1/customers/c"]
    answers = [client.kustomer(path) for path in paths]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert all(answer.json()["errors"] for answer in answers)
    assert client.search(window).status_code == client.kustomer("/v1/users").status_code == 200


@pytest.mark.parametrize(("kind", "shape"), [("404", "application/json"), ("404_html", "text/html")])
def test_the_post_alone_can_be_404(client: Any, feedback: Request, kind: str, shape: str) -> None:
    client.faults({"match": POST, "kind": kind})
    answer = client.post(feedback)
    assert (answer.status_code, answer.headers["content-type"]) == (404, shape)
    assert client.stella("/v2/employees").status_code == 200
    assert client.control("received").json()["counts"]["accepted"] == 0


@pytest.mark.parametrize("kind", ["403", "500", "broken_json"])
def test_one_record_can_be_broken_alone_and_among_others(client: Any, window: Request, kind: str) -> None:
    bad, good = ids(client.search(window))[:2]
    client.faults({"match": {"method": "GET", "path_contains": bad}, "kind": kind})

    def is_fine(path: str) -> bool:
        answer = client.kustomer(path)
        try:
            return bool(answer.json()["data"]) and answer.ok
        except (ValueError, KeyError):
            return False

    assert [is_fine(f"/v1/conversations/{wanted}") for wanted in (good, bad, f"{good},{bad}")] == [
        True,
        False,
        False,
    ]


def test_one_record_can_be_silent(client: Any, window: Request) -> None:
    bad, good = ids(client.search(window))[:2]
    client.faults({"match": {"path_contains": bad}, "kind": "hang", "seconds": 0.2})
    with pytest.raises(requests.ConnectionError):
        client.kustomer(f"/v1/conversations/{bad}")
    assert client.kustomer(f"/v1/conversations/{good}").ok


def test_each_search_page_that_holds_a_certain_conversation_can_fail(client: Any, window: Request) -> None:
    pages = [ids(client.search(window, page)) for page in (1, 2)]
    bad = next(id_ for id_ in pages[1] if id_ not in pages[0])
    client.faults({"match": SEARCH | {"answer_contains": bad}, "kind": "500"})
    assert [client.search(window, page).status_code for page in (1, 2, 3)] == [200, 500, 200]
    assert client.kustomer(f"/v1/conversations/{bad}").ok


def test_the_search_for_customers_can_fail_alone(client: Any, window: Request) -> None:
    client.faults({"match": SEARCH | {"body_contains": '"queryContext": "customer"'}, "kind": "503"})
    assert client.search(window).ok
    assert client.search(window | {"queryContext": "customer"}).status_code == 503


def test_rows_move_up_when_a_conversation_is_reopened_between_two_pages(
    run: Callable[..., Sandbox], client_of: Any, window: Request
) -> None:
    client = client_of(run(search_per_minute=0, repeated_share=0.0))
    before = [ids(client.search(window, page)) for page in (1, 2)]
    client.faults({"match": SEARCH, "kind": "reopened_row", "times": 1})
    first, second = client.search(window, 1), client.search(window, 2)
    assert ids(first) == before[0]
    assert second.json()["meta"]["total"] == first.json()["meta"]["total"] - 1
    lost = set(before[1]) - set(ids(first)) - set(ids(second))
    assert len(lost) == 1
    assert lost <= set(ids(client.search(window, 1)))


def test_a_row_can_be_lost_though_it_is_counted(client: Any, window: Request) -> None:
    client.faults({"match": SEARCH, "kind": "lost_row", "times": 1})
    short, whole = client.search(window), client.search(window)
    assert ids(short) == ids(whole)[1:]
    assert short.json()["meta"] == whole.json()["meta"]


def test_the_list_of_employees_can_be_empty_or_cut_once(client: Any) -> None:
    client.faults({"match": {"path_prefix": "/v2/employees"}, "kind": "empty_list", "times": 1})
    empty, whole = (client.stella("/v2/employees", status="active").json() for _ in range(2))
    assert empty == {"employees": [], "meta": {"next_page": None}}
    client.faults({"match": {"path_prefix": "/v2/employees"}, "kind": "missing_rows", "times": 1})
    cut = client.stella("/v2/employees", status="active").json()
    assert 0 < len(cut["employees"]) < len(whole["employees"])
