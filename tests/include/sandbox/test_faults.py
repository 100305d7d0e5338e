import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from include.sandbox import STELLA_KEY, Sandbox

Request = dict[str, Any]
POST = {"method": "POST", "path_prefix": "/v1/requests"}


def raw_post(sandbox: Sandbox, body: Request) -> socket.socket:
    """Send a whole POST over a plain socket."""
    address = urlsplit(sandbox.stella_url)
    payload = json.dumps(body).encode()
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    head = f"POST /v1/requests HTTP/1.1\r\nhost: sandbox\r\nx-api-key: {STELLA_KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    connection.sendall(head.encode() + payload)
    return connection


@pytest.mark.parametrize(("kind", "accepted"), [("reset", 0), ("accept_then_reset", 1)])
def test_a_reset_is_seen_by_the_socket(
    vendors: Sandbox, client: Any, feedback: Request, kind: str, accepted: int
) -> None:
    client.faults({"match": POST, "kind": kind, "times": 1})
    with raw_post(vendors, feedback) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert len(vendors.state.received) == accepted
    assert client.post(feedback).status_code == 200


@pytest.mark.parametrize(("kind", "accepted"), [("hang", 0), ("accept_then_hang", 1)])
def test_a_hanging_call_gets_no_byte_until_it_is_released(
    vendors: Sandbox, client: Any, feedback: Request, kind: str, accepted: int
) -> None:
    client.faults({"match": POST, "kind": kind})
    with raw_post(vendors, feedback) as connection:
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert len(vendors.state.received) == accepted
        client.faults()
        connection.settimeout(10)
        assert connection.recv(1) == b""


def test_a_hang_ends_by_itself_and_at_the_stop(
    run: Callable[..., Sandbox], client_of: Any, feedback: Request
) -> None:
    sandbox = run()
    client_of(sandbox).faults(
        {"match": POST, "kind": "hang", "times": 1, "seconds": 0.2}, {"match": POST, "kind": "hang"}
    )
    with raw_post(sandbox, feedback) as connection:
        assert connection.recv(1) == b""
    with raw_post(sandbox, feedback) as connection:
        stopping = threading.Thread(target=sandbox.stop)
        stopping.start()
        try:
            assert connection.recv(1) == b""
        finally:
            stopping.join()


def test_a_caller_that_leaves_a_hanging_call_is_noticed(vendors: Sandbox, client: Any, feedback: Request) -> None:
    client.faults({"match": POST, "kind": "hang", "times": 1})
    with pytest.raises(requests.ReadTimeout):
        client.post(feedback, timeout=0.2)
    assert client.post(feedback).status_code == 200
    assert len(vendors.state.received) == 1


def test_a_cut_body_is_shorter_than_promised(vendors: Sandbox, client: Any, feedback: Request) -> None:
    client.faults({"match": POST, "kind": "cut_body", "times": 1})
    address = urlsplit(vendors.stella_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    headers = {"x-api-key": STELLA_KEY, "content-type": "application/json"}
    connection.request("POST", "/v1/requests", json.dumps(feedback), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()
    assert len(vendors.state.received) == 1


@pytest.mark.parametrize(
    ("kind", "status", "accepted"),
    [
        ("500_before", 500, 0),
        ("accept_then_500", 500, 1),
        ("429", 429, 0),
        ("403", 403, 0),
        ("502", 502, 0),
        ("redirect", 302, 0),
        ("not_json", 200, 1),
        ("no_data", 200, 1),
        ("empty_body", 200, 1),
        ("slow", 200, 1),
    ],
)
def test_a_status_fault_strikes_as_often_as_told(
    vendors: Sandbox, client: Any, feedback: Request, kind: str, status: int, accepted: int
) -> None:
    client.faults({"match": POST, "kind": kind, "times": 2, "seconds": 0.01})
    answers = [
        requests.post(
            f"{vendors.stella_url}/v1/requests",
            json=feedback,
            headers={"x-api-key": STELLA_KEY},
            allow_redirects=False,
            timeout=10,
        )
        for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[2].json() == feedback
    assert len(vendors.state.received) == 2 * accepted + 1
    if kind == "not_json":
        assert answers[0].text.startswith("<!doctype html>")
    if kind == "empty_body":
        assert answers[0].content == b""


def test_a_429_says_when_to_come_back(client: Any) -> None:
    client.faults({"match": {"method": "GET", "path_prefix": "/v1/users"}, "kind": "429", "retry_after": 7})
    answer = client.kustomer("/v1/users")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert 5 < int(answer.headers["x-ratelimit-reset"]) - time.time() < 10
    assert client.kustomer("/v1/tags").status_code == 200
    client.faults({"match": {"path_prefix": "/v1/users"}, "kind": "429"})
    assert "retry-after" not in client.kustomer("/v1/users").headers


def test_a_fault_may_let_calls_pass_first(client: Any) -> None:
    client.faults({"match": {"path_prefix": "/v1/tags"}, "kind": "503", "after": 2, "times": 1})
    assert [client.kustomer("/v1/tags").status_code for _ in range(4)] == [200, 200, 503, 200]
    assert client.control("faults").json()[0]["hits"] == 1


def test_rows_may_be_missing_from_a_page_that_counts_them(client: Any, window: Request) -> None:
    client.faults({"match": {"path_prefix": "/v1/customers/search"}, "kind": "missing_rows", "times": 1})
    short, whole = client.search(window, size=500).json(), client.search(window, size=500).json()
    assert short["meta"] == whole["meta"]
    assert len(short["data"]) < len(whole["data"]) == whole["meta"]["total"]


def test_the_sandboxs_own_pages_never_fail(client: Any) -> None:
    client.faults({"match": {"path_prefix": "/"}, "kind": "500_before"})
    assert client.control("received").status_code == 200
    assert client.control("requests").json()["total"] == 0
    assert client.kustomer("/v1/users").status_code == 500
    assert client.control("requests").json()["calls"] == {"GET /v1/users": 1}


@pytest.mark.parametrize(
    "faults",
    [
        {},
        [5],
        [{"kind": "explode"}],
        [{"kind": "200"}],
        [{"match": {"path": "/v1"}, "kind": "500_before"}],
        [{"kind": "hang", "count": 3}],
        [{"kind": "hang", "times": "twice"}],
    ],
)
def test_a_malformed_fault_is_refused_and_changes_nothing(client: Any, faults: Any) -> None:
    client.faults({"match": POST, "kind": "403"})
    answer = client.control("faults", faults)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert [fault["kind"] for fault in client.control("faults").json()] == ["403"]
