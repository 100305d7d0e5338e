"""Reading records by id and in lists, and the connection test."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from plugins.kustomer.hook import KustomerHook
from plugins.vendor_api.errors import BrokenAnswer, KeyFault

ROLES = [
    "org.permission.search.create",
    "org.permission.conversation.read",
    "org.permission.customer.read",
    "org.permission.user.read",
    "org.permission.tag.read",
]


@pytest.fixture
def hook(kustomer_server: HTTPServer) -> KustomerHook:
    return KustomerHook()


def paths(server: HTTPServer) -> list[str]:
    return [request.path for request, _ in server.log]


def record(one: str, **attributes: Any) -> dict[str, Any]:
    return {"id": one, "attributes": attributes}


# --- by id -----------------------------------------------------------------------------------------------------


def test_conversations_are_read_a_hundred_at_a_time(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    def handler(request: Request) -> Response:
        ids = request.path.rsplit("/", 1)[1].split(",")
        return Response(json.dumps({"data": [record(one) for one in reversed(ids)]}))

    kustomer_server.expect_request(re.compile("/v1/conversations/.*")).respond_with_handler(handler)
    wanted = [f"{n:024x}" for n in range(250)]
    found = hook.read_conversations([*wanted, wanted[0]])
    assert set(found) == set(wanted)
    assert [path.count(",") + 1 for path in paths(kustomer_server)] == [100, 100, 50]


def test_no_ids_ask_nothing(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    assert hook.read_conversations([]) == {}
    assert kustomer_server.log == []


def test_an_id_missing_in_the_answer_is_asked_for_alone(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/conversations/a,b,gone").respond_with_json({"data": [record("a")]})
    kustomer_server.expect_request("/v1/conversations/b").respond_with_json({"data": record("b")})
    kustomer_server.expect_request("/v1/conversations/gone").respond_with_json({"errors": []}, status=404)
    assert set(hook.read_conversations(["a", "b", "gone"])) == {"a", "b"}


def test_a_single_id_that_is_gone_is_asked_for_once(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/conversations/gone").respond_with_json({"errors": []}, status=404)
    assert hook.read_conversations(["gone"]) == {}
    assert len(kustomer_server.log) == 1


@pytest.mark.parametrize("status", [400, 404, 414])
def test_a_refused_list_is_read_one_by_one(kustomer_server: HTTPServer, hook: KustomerHook, status: int) -> None:
    kustomer_server.expect_request("/v1/conversations/a,gone").respond_with_json({"errors": []}, status=status)
    kustomer_server.expect_request("/v1/conversations/a").respond_with_json({"data": record("a")})
    kustomer_server.expect_request("/v1/conversations/gone").respond_with_json({"errors": []}, status=404)
    assert set(hook.read_conversations(["a", "gone"])) == {"a"}


def test_an_id_that_is_refused_keeps_no_other_from_being_read(
    kustomer_server: HTTPServer, hook: KustomerHook
) -> None:
    kustomer_server.expect_request("/v1/conversations/a,odd,gone").respond_with_json({"errors": []}, status=400)
    kustomer_server.expect_request("/v1/conversations/a").respond_with_json({"data": record("a")})
    kustomer_server.expect_request("/v1/conversations/odd").respond_with_json({"errors": []}, status=400)
    kustomer_server.expect_request("/v1/conversations/gone").respond_with_json({"errors": []}, status=410)
    assert hook.read_conversations(["a", "odd", "gone"]) == {"a": record("a"), "odd": {}}


def test_a_failing_list_is_never_taken_for_deleted_conversations(
    kustomer_server: HTTPServer, hook: KustomerHook
) -> None:
    kustomer_server.expect_request("/v1/conversations/a,b").respond_with_json({"data": [record("a")]})
    kustomer_server.expect_request("/v1/conversations/b").respond_with_data("", status=500)
    assert hook.read_conversations(["a", "b"]) == {"a": record("a"), "b": {}}


@pytest.mark.usefixtures("no_waiting")
def test_a_gateways_page_is_never_taken_for_a_deleted_record(
    kustomer_server: HTTPServer, hook: KustomerHook
) -> None:
    page = {"response_data": "<h1>404</h1>", "status": 404, "content_type": "text/html; charset=utf-8"}
    kustomer_server.expect_request("/v1/conversations/a").respond_with_data(**page)
    kustomer_server.expect_request("/v1/customers/a").respond_with_data(**page)
    with pytest.raises(BrokenAnswer, match="answered 404 with a web page"):
        hook.read_conversations(["a"])
    with pytest.raises(BrokenAnswer, match="check the connection's host"):
        hook.read_customer("a")


def test_a_record_that_was_not_asked_for_is_left_out(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    rows = [record("a"), record("other"), {}, None, "x"]
    kustomer_server.expect_request("/v1/conversations/a").respond_with_json({"data": rows})
    assert set(hook.read_conversations(["a"])) == {"a"}


def test_an_id_cannot_change_the_path(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/customers/../users?x=1").respond_with_json({"data": record("a")})
    assert hook.read_customer("../users?x=1") == record("a")


def test_a_customer_is_a_record_or_none(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/customers/a").respond_with_json({"data": record("a", name="Ann")})
    kustomer_server.expect_request("/v1/customers/gone").respond_with_json({"errors": []}, status=404)
    kustomer_server.expect_request("/v1/customers/merged").respond_with_json({"errors": []}, status=410)
    assert hook.read_customer("a") == record("a", name="Ann")
    assert hook.read_customer("gone") is None
    assert hook.read_customer("merged") is None


def test_users_by_id(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/users/u1,u2").respond_with_json({"data": [record("u1"), record("u2")]})
    assert set(hook.read_users(["u1", "u2"]).found) == {"u1", "u2"}


# --- lists -----------------------------------------------------------------------------------------------------


def test_users_are_those_of_the_list_and_the_deleted_ones(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    second = {"data": [record("u3")], "links": {"next": None}}
    first = {"data": [record("u1"), record("u2")], "links": {"next": "/v1/users?page=2&pageSize=500"}}
    deleted = {"data": [record("u2"), record("u9")]}

    kustomer_server.expect_request("/v1/users", query_string="page=1&pageSize=500").respond_with_json(first)
    kustomer_server.expect_request("/v1/users", query_string="page=2&pageSize=500").respond_with_json(second)
    kustomer_server.expect_request(
        "/v1/users", query_string={"deleted": "true", "page": "1", "pageSize": "500"}
    ).respond_with_json(deleted)
    assert sorted(user["id"] for user in hook.list_users()) == ["u1", "u2", "u3", "u9"]


def test_tags_are_names_by_id(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    rows = [record("t1", name="vip"), record("t2", name=None), record("t3"), {"id": "t4", "attributes": None}]
    kustomer_server.expect_request("/v1/tags").respond_with_json({"data": rows, "links": None})
    assert hook.list_names("tag") == {"t1": "vip"}


def test_a_list_without_data_is_an_error(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/users").respond_with_json({"users": []})
    with pytest.raises(BrokenAnswer, match="GET /v1/users answered without data"):
        hook.list_users()


@pytest.mark.parametrize(
    ("ask", "role"),
    [
        (lambda hook: hook.list_users(), "org.permission.user.read or org.user.read"),
        (lambda hook: hook.list_names("tag"), "org.permission.tag.read"),
        (lambda hook: hook.read_customer("a"), "org.permission.customer.read"),
        (lambda hook: hook.read_conversations(["a"]), "org.permission.conversation.read"),
    ],
)
def test_a_missing_role_is_named(kustomer_server: HTTPServer, hook: KustomerHook, ask: Any, role: str) -> None:
    kustomer_server.expect_request(re.compile(".*")).respond_with_json({"errors": []}, status=403)
    with pytest.raises(KeyFault) as lacking:
        ask(hook)
    assert f"The key of connection 'kustomer_default' needs {role}" in str(lacking.value)


# --- throttling ----------------------------------------------------------------------------------------------


def test_every_attempt_waits_for_its_turn(
    kustomer_server: HTTPServer, hook: KustomerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    monkeypatch.setattr(hook._all_calls, "wait", lambda: turns.append("any"))
    monkeypatch.setattr(hook._searches, "wait", lambda: turns.append("search"))
    kustomer_server.expect_oneshot_request("/v1/tags").respond_with_data("", status=500)
    kustomer_server.expect_request("/v1/tags").respond_with_json({"data": []})
    kustomer_server.expect_request("/v1/customers/search").respond_with_json({"data": [], "meta": {"total": 0}})
    hook.list_names("tag")
    assert turns == ["any", "any"]
    list(hook.search("conversation", datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)))
    assert turns == ["any", "any", "search", "any"]


def test_the_rates_stay_below_the_documented_limits() -> None:
    assert 60 / KustomerHook()._searches._gap == pytest.approx(96)
    assert 60 / KustomerHook(requests_per_minute=120)._all_calls._gap == pytest.approx(120)


# --- the Test button -----------------------------------------------------------------------------------------


def token(server: HTTPServer, roles: object) -> None:
    server.expect_request("/v1/auth/tokens/current").respond_with_json(
        {"data": {"type": "token", "attributes": {"name": "csat", "roles": roles}}}
    )


@pytest.mark.parametrize(
    "roles",
    [
        ROLES,
        ["org.permission"],
        [
            "org.user.search.read",
            "org.user.conversation",
            "org.user.customer.read",
            "org.user.read",
            "org.admin.tag",
        ],
        ["org.permission.search", *ROLES[1:]],
        ["org"],
    ],
)
def test_a_key_with_all_roles_passes(kustomer_server: HTTPServer, hook: KustomerHook, roles: list[str]) -> None:
    token(kustomer_server, roles)
    ok, told = hook.test_connection()
    assert ok, told
    assert "https://acme.kustomerapp.com" in told


@pytest.mark.parametrize("missing", ROLES)
def test_each_missing_role_is_reported(kustomer_server: HTTPServer, hook: KustomerHook, missing: str) -> None:
    token(kustomer_server, [role for role in ROLES if role != missing] + ["org.permission.note", None])
    ok, told = hook.test_connection()
    assert not ok
    assert "lacks 1 of the 5 roles needed: " in told
    assert missing in told
    assert "Create a new key" in told


def test_a_role_does_not_cover_its_namesakes(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    token(kustomer_server, ["org.permission.conv", "org.perm"])
    ok, told = hook.test_connection()
    assert not ok
    assert "lacks 5 of the 5" in told


@pytest.mark.parametrize("roles", [None, "org.permission"])
def test_roles_that_are_not_listed_cannot_be_checked(
    kustomer_server: HTTPServer, hook: KustomerHook, roles: object
) -> None:
    token(kustomer_server, roles)
    ok, told = hook.test_connection()
    assert ok
    assert "could not be checked" in told


def test_a_refused_key_is_reported_at_once(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/auth/tokens/current").respond_with_json({"errors": []}, status=401)
    ok, told = hook.test_connection()
    assert not ok
    assert "unknown, expired, or from another region" in told


def test_an_outage_is_reported_without_retries(kustomer_server: HTTPServer, hook: KustomerHook) -> None:
    kustomer_server.expect_request("/v1/auth/tokens/current").respond_with_data("", status=500)
    assert hook.test_connection()[0] is False
    assert len(kustomer_server.log) == 1


def test_an_incomplete_connection_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", '{"conn_type": "kustomer", "password": "key-of-tests"}')
    ok, told = KustomerHook().test_connection()
    assert not ok
    assert 'lacks "web_url" in the extra' in told
