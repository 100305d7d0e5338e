"""Approved agents, Data Return, and the connection test."""

import json
import pickle
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any

import jwt
import pytest
import time_machine
from airflow.sdk.log import _secrets_masker
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from plugins.stella_connect.hook import MAX_EMPLOYEE_PAGES, StellaConnectHook
from plugins.vendor_api.errors import BrokenAnswer, KeyFault, OutcomeUnknown, Refused, VendorApiError
from tests.support.bad_server import answer, http, serving

SECRET = "stella-secret-of-tests-long-enough"


def employees(*emails: str, next_page: object = None) -> dict[str, Any]:
    return {"employees": [{"email": email} for email in emails], "meta": {"next_page": next_page}}


def queries(server: HTTPServer) -> list[dict[str, str]]:
    return [request.args.to_dict() for request, _ in server.log]


# --- the token -----------------------------------------------------------------------------------------------


def test_reading_calls_carry_the_key_and_a_token_signed_for_the_call(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json(employees())
    before = int(time.time())
    StellaConnectHook().active_employees()
    headers = stella_server.log[0][0].headers
    assert headers["x-api-key"] == "stella-key-of-tests"
    claims = jwt.decode(headers["Authorization"], SECRET, algorithms=["HS256"])
    assert set(claims) == {"iat"}
    assert type(claims["iat"]) is int
    assert before <= claims["iat"] <= int(time.time())


def test_a_prefix_goes_before_the_token_if_the_connection_has_one(
    httpserver: HTTPServer, connect_stella: Any
) -> None:
    connect_stella(httpserver.url_for(""), jwt_prefix="Bearer ")
    httpserver.expect_request("/v2/data").respond_with_json([])
    StellaConnectHook().data()
    prefix, token = httpserver.log[0][0].headers["Authorization"].split(" ")
    assert prefix == "Bearer"
    jwt.decode(token, SECRET, algorithms=["HS256"])


def test_a_token_that_the_answer_repeats_is_not_in_the_error(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_handler(
        lambda request: Response(json.dumps({"error": f"bad token {request.headers['Authorization']}"}), status=400)
    )
    with pytest.raises(Refused) as refused:
        StellaConnectHook().active_employees()
    assert "bad token" in str(refused.value)
    assert stella_server.log[0][0].headers["Authorization"] not in str(refused.value)


def test_signing_leaves_the_patterns_of_airflows_masker_alone(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json(employees("a@example.com"))
    hook = StellaConnectHook()
    hook.active_employees()  # key and secret are masked with the first call
    patterns = set(_secrets_masker().patterns)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=1)):
        hook.active_employees()
    first, second = (request.headers["Authorization"] for request, _ in stella_server.log)
    assert first != second
    assert _secrets_masker().patterns == patterns


def test_a_netrc_entry_does_not_replace_the_token(
    stella_server: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    stella_server.expect_request("/v2/data").respond_with_json([])
    StellaConnectHook().data()
    assert "Basic" not in stella_server.log[0][0].headers["Authorization"]


# --- approved agents -----------------------------------------------------------------------------------------


def test_active_employees_are_given_as_stella_spells_them(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json(employees("Ann@Example.com", " b@example.com"))
    assert StellaConnectHook().active_employees() == ["Ann@Example.com", " b@example.com"]
    assert queries(stella_server) == [{"status": "active", "number_of_employees": "500"}]


def test_the_next_page_is_asked_on_our_host_with_our_filter(
    stella_server: HTTPServer,
) -> None:
    with serving(answer(http("200 OK"))) as foreign:
        pages = iter(
            [
                employees("a@example.com", next_page=f"{foreign.url}/api/v2/employees?after=7&status=created"),
                employees("b@example.com", next_page="/v2/employees?after=8"),
                employees("c@example.com", next_page=""),
            ]
        )
        stella_server.expect_request("/v2/employees").respond_with_handler(
            lambda _: Response(json.dumps(next(pages)), content_type="application/json")
        )
        assert StellaConnectHook().active_employees() == ["a@example.com", "b@example.com", "c@example.com"]
        assert foreign.connections == 0
    own = {"status": "active", "number_of_employees": "500"}
    assert queries(stella_server) == [own, {**own, "after": "7"}, {**own, "after": "8"}]


def test_a_repeated_next_page_ends_the_list(stella_server: HTTPServer) -> None:
    names = (f"{name}@example.com" for name in "ab")
    stella_server.expect_request("/v2/employees").respond_with_handler(
        lambda _: Response(json.dumps(employees(next(names), next_page="https://x.invalid/?after=7")))
    )
    assert StellaConnectHook().active_employees() == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize("link", ["/v2/employees/7", "?after=7", "?page=2&after=8"])
def test_a_page_given_again_is_never_the_end_of_the_list(stella_server: HTTPServer, link: str) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json(employees("a@example.com", next_page=link))
    with pytest.raises(BrokenAnswer, match="GET /v2/employees gave a page of agents again"):
        StellaConnectHook().active_employees()
    assert len(stella_server.log) == 2


def test_a_list_whose_next_pages_never_end_is_not_read_for_ever(stella_server: HTTPServer) -> None:
    numbers = count(1)

    def page(_: Request) -> Response:
        number = next(numbers)
        return Response(json.dumps(employees(f"agent{number}@example.com", next_page=f"?after={number}")))

    stella_server.expect_request("/v2/employees").respond_with_handler(page)
    with pytest.raises(BrokenAnswer, match=r"GET /v2/employees names a next page after \d+ pages"):
        StellaConnectHook().active_employees()
    assert len(stella_server.log) == MAX_EMPLOYEE_PAGES


@pytest.mark.parametrize("meta", [{}, {"meta": None}, {"meta": {}}, {"meta": []}])
def test_no_meta_means_no_further_page(stella_server: HTTPServer, meta: dict[str, Any]) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json(
        {"employees": [{"email": "a@example.com"}, {"email": None}, {}, None], **meta}
    )
    assert StellaConnectHook().active_employees() == ["a@example.com"]


def test_a_single_object_is_read_as_a_list_of_one(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json({"employees": {"email": "a@example.com"}})
    assert StellaConnectHook().active_employees() == ["a@example.com"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"employees": null}', b"<html>", b"null", b'{"employees": "none"}']
)
def test_an_unreadable_list_is_never_an_empty_one(stella_server: HTTPServer, body: bytes) -> None:
    stella_server.expect_request("/v2/employees").respond_with_data(body)
    with pytest.raises(BrokenAnswer, match="GET /v2/employees"):
        StellaConnectHook().active_employees()


def test_a_failure_on_a_later_page_fails_the_lookup(stella_server: HTTPServer) -> None:
    def handler(request: Request) -> Response:
        if "after" in request.args:
            return Response(status=500)
        return Response(json.dumps(employees("a@example.com", next_page="?after=7")))

    stella_server.expect_request("/v2/employees").respond_with_handler(handler)
    with pytest.raises(OutcomeUnknown):
        StellaConnectHook().active_employees()


# --- Data Return ---------------------------------------------------------------------------------------------


def test_data_is_asked_by_cursor_and_creation_time(stella_server: HTTPServer) -> None:
    records = [{"uuid": "u1", "sequence_id": 5}, None, "x"]
    stella_server.expect_request("/v2/data").respond_with_json(records)
    since = datetime(2026, 1, 5, 12, 0, 0, 999999, timezone(timedelta(hours=2)))
    assert StellaConnectHook().data(after=4, created_at_gte=since, limit=50) == [records[0]]
    assert queries(stella_server) == [{"after": "4", "created_at_gte": "2026-01-05T10:00:00+00:00", "limit": "50"}]


def test_a_cursor_of_zero_is_a_cursor(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/data").respond_with_json([])
    assert StellaConnectHook().data(after=0) == []
    assert queries(stella_server) == [{"after": "0", "limit": "1000"}]


def test_a_single_record_is_read_as_a_page_of_one(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/data").respond_with_json({"uuid": "u1"})
    assert StellaConnectHook().data() == [{"uuid": "u1"}]


@pytest.mark.parametrize("body", [b"{}", b"null", b'{"error": "x"}', b"7"])
def test_data_that_is_no_list_is_an_error(stella_server: HTTPServer, body: bytes) -> None:
    stella_server.expect_request("/v2/data").respond_with_data(body)
    with pytest.raises(BrokenAnswer, match="without a list of records"):
        StellaConnectHook().data()


def test_data_is_throttled_below_a_hundred_a_minute(
    stella_server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stella_server.expect_request("/v2/data").respond_with_json([])
    hook = StellaConnectHook()
    turns: list[None] = []
    monkeypatch.setattr(hook._data_calls, "wait", lambda: turns.append(None))
    hook.data()
    hook.data()
    assert len(turns) == 2
    assert 60 / hook._data_calls._gap == pytest.approx(96)


# --- the Test button -----------------------------------------------------------------------------------------


def test_the_connection_test_proves_key_and_secret(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json(employees())
    ok, told = StellaConnectHook().test_connection()
    assert ok
    assert "accepts the key and the secret" in told
    assert queries(stella_server) == [{"status": "active", "number_of_employees": "1"}]


def test_the_connection_test_tells_what_to_check(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_json({"message": "no"}, status=403)
    ok, told = StellaConnectHook().test_connection()
    assert not ok
    assert '"api_secret"' in told
    assert "clock" in told


def test_the_connection_test_does_not_keep_a_person_waiting(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_data("", status=500)
    assert StellaConnectHook().test_connection()[0] is False
    assert len(stella_server.log) == 1


def test_the_connection_test_reports_an_incomplete_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STELLA_CONNECT_DEFAULT", '{"conn_type": "stella_connect"}')
    ok, told = StellaConnectHook().test_connection()
    assert not ok
    assert 'lacks password (the API key) and "api_secret" in the extra' in told


def test_a_wrong_key_is_not_asked_about_again(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/employees").respond_with_data("", status=403)
    with pytest.raises(KeyFault):
        StellaConnectHook().active_employees()
    assert len(stella_server.log) == 1


def test_a_closed_hook_can_be_used_again(stella_server: HTTPServer) -> None:
    stella_server.expect_request("/v2/data").respond_with_json([])
    hook = StellaConnectHook()
    with hook:
        hook.data()
    assert hook.data() == []


def test_errors_survive_pickling() -> None:
    fault = VendorApiError("text", call="GET /x", status=400, code="k", retry_after=1.0)
    copy = pickle.loads(pickle.dumps(fault))
    assert vars(copy) == vars(fault)
    assert str(copy) == "text"
