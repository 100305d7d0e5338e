from typing import Any

import pytest

from include.sandbox import Sandbox

Request = dict[str, Any]


def feedback_for(sandbox: Sandbox, id_: str) -> Request:
    one = sandbox.state.organisation.conversations[id_]
    request: Request = {
        "channel": "email",
        "customer": {"name": "A", "email": one.expected_customer},
        "employee": {"email": one.expected_employee},
        "ext_interaction_id": id_,
    }
    return request | ({"do_not_send": True} if one.expected_do_not_send else {})


def test_both_ports_answer_for_the_sandbox(client: Any, vendors: Sandbox) -> None:
    for url in (vendors.kustomer_url, vendors.stella_url):
        health = client.session.get(f"{url}/_sandbox/health").json()
        assert health == {"status": "ok", "conversations": 300}
        assert client.session.get(f"{url}/_sandbox/received").json()["counts"]["accepted"] == 0


def test_received_requests_are_listed_in_order_and_in_parts(client: Any, feedback: Request) -> None:
    for number in (1, 2, 2):
        client.post(feedback | {"ext_interaction_id": f"i{number}"})
    client.post(feedback | {"ext_interaction_id": "bad", "channel": "pigeon"})
    whole = client.control("received").json()
    assert whole["counts"] == {"accepted": 3, "refused": 1, "duplicates": 1, "do_not_send": 0, "recoveries": 0}
    assert [one["request"]["ext_interaction_id"] for one in whole["accepted"]] == ["i1", "i2", "i2"]
    assert [one["duplicate"] for one in whole["accepted"]] == [False, False, True]
    assert [one["received_at"] for one in whole["accepted"]] == sorted(
        one["received_at"] for one in whole["accepted"]
    )
    assert whole["refused"][0]["error"] == "Channel not enabled for company"
    assert whole["refused"][0]["ext_interaction_id"] == "bad"
    part = client.control("received", start=1, limit=1).json()
    assert [one["request"]["ext_interaction_id"] for one in part["accepted"]] == ["i2"]
    assert client.control("received", limit=0).json()["accepted"] == []


def test_sending_just_what_is_expected_leaves_no_difference(client: Any, vendors: Sandbox) -> None:
    before = client.control("expected").json()
    assert before["difference"]["missing"] == before["sent"]
    assert len(before["sent"]) + len(before["others"]) == 300
    assert sum(before["reasons"].values()) == len(before["others"])
    assert set(before["do_not_send"]) < set(before["sent"])
    for id_ in before["sent"]:
        assert client.post(feedback_for(vendors, id_)).status_code == 200
    assert client.control("expected").json()["difference"] == {
        "missing": [],
        "unexpected": [],
        "wrong_content": [],
        "duplicates": [],
    }


def test_every_difference_is_named(client: Any, vendors: Sandbox, feedback: Request) -> None:
    expected = client.control("expected").json()
    first, second = expected["sent"][:2]
    client.post(feedback_for(vendors, first))
    client.post(feedback_for(vendors, first))
    client.post(feedback_for(vendors, second) | {"customer": {"name": "A", "email": "wrong@example.com"}})
    client.post(feedback)
    difference = client.control("expected").json()["difference"]
    assert difference["duplicates"] == [first]
    assert difference["wrong_content"] == [second]
    assert difference["unexpected"] == [feedback["ext_interaction_id"]]
    assert difference["missing"] == expected["sent"][2:]


def test_a_window_narrows_what_is_expected(client: Any) -> None:
    def sent(**window: str) -> set[str]:
        return set(client.control("expected", **window).json()["sent"])

    first = sent(closed_from="2026-01-05T10:00:00+00:00", closed_to="2026-01-05T10:30:00+00:00")
    second = sent(closed_from="2026-01-05T10:30:00+00:00")
    assert first
    assert second
    assert not first & second
    assert first | second == sent()
    assert client.control("expected", closed_from="yesterday").status_code == 400


def test_opening_again_cancels_and_closing_again_sends_after_all(client: Any, vendors: Sandbox) -> None:
    id_ = client.control("expected").json()["sent"][0]
    client.control("conversations", {"id": id_, "status": "open"}).raise_for_status()
    assert client.control("expected").json()["others"][id_] == "reopened"
    closed = {"id": id_, "status": "done", "closed_at": "2026-01-05T10:59:00+00:00"}
    record = client.control("conversations", closed).json()
    assert record["attributes"]["lastDone"]["createdAt"] == "2026-01-05T10:59:00.000Z"
    assert id_ in client.control("expected").json()["sent"]


def test_a_deleted_conversation_is_gone(client: Any) -> None:
    id_ = client.control("expected").json()["sent"][0]
    client.control("conversations", {"id": id_, "deleted": True}).raise_for_status()
    assert client.kustomer(f"/v1/conversations/{id_}").status_code == 404
    assert client.control("expected").json()["others"][id_] == "deleted"


def test_reassigning_after_the_closing_leaves_the_closing_alone(client: Any, vendors: Sandbox) -> None:
    id_ = client.control("expected").json()["sent"][0]
    user = list(vendors.state.organisation.users)[5]
    attributes = client.control("conversations", {"id": id_, "assigned_users": [user]}).json()["attributes"]
    assert attributes["assignedUsers"] == [user]
    assert attributes["lastDone"]["assignedUsers"] != [user]


def test_raw_attributes_replace_the_usual_ones(client: Any) -> None:
    id_ = client.control("expected").json()["sent"][0]
    change = {
        "id": id_,
        "attributes": {"preview": "x" * 2_000_000, "lastDone": "soon"},
        "relationships": {"customer": {}},
    }
    record = client.control("conversations", change).json()
    assert len(record["attributes"]["preview"]) == 2_000_000
    assert record["attributes"]["lastDone"] == "soon"
    assert record["relationships"]["customer"] == {}


def test_a_new_conversation_is_plain_unless_told_otherwise(client: Any) -> None:
    record, other = client.control("conversations", [{"closed_at": "2026-01-05T10:10:00Z"}, {}]).json()
    assert record["attributes"]["status"] == "done"
    assert record["id"] != other["id"]
    assert {record["id"], other["id"]} <= set(client.control("expected").json()["sent"])
    customer = client.kustomer(f"/v1/customers/{record['relationships']['customer']['data']['id']}").json()
    assert customer["data"]["attributes"]["emails"][0]["verified"]


def test_a_profile_may_be_approved_withdrawn_and_added(client: Any, feedback: Request) -> None:
    address = feedback["employee"]["email"]
    client.control("employees", {"email": address, "status": "pending review"}).raise_for_status()
    assert client.post(feedback).json()["error"] == "Employee profile not complete"
    client.control("employees", {"email": address, "status": "active"}).raise_for_status()
    assert client.post(feedback).status_code == 200
    client.control("employees", {"email": "new@example.org"}).raise_for_status()
    assert client.post(feedback | {"employee": {"email": "new@example.org"}}).status_code == 200


def test_users_and_customers_may_change(client: Any, vendors: Sandbox) -> None:
    user = next(iter(vendors.state.organisation.users))
    client.control("users", {"id": user, "deleted": True, "email": None}).raise_for_status()
    attributes = client.kustomer(f"/v1/users/{user}").json()["data"]["attributes"]
    assert attributes["deletedAt"]
    assert attributes["email"] is None
    customer = next(iter(vendors.state.organisation.customers))
    client.control("customers", {"id": customer, "emails": [["a@example.com", False]]}).raise_for_status()
    record = client.kustomer(f"/v1/customers/{customer}").json()["data"]
    assert record["attributes"]["emails"] == [{"type": "home", "email": "a@example.com", "verified": False}]
    client.control("customers", {"id": customer, "deleted": True}).raise_for_status()
    assert client.kustomer(f"/v1/customers/{customer}").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("conversations", {"colour": "red"}),
        ("conversations", {"status": "closed"}),
        ("conversations", {"closed_at": "2026-01-05T10:00:00"}),
        ("conversations", {"assigned_users": "me"}),
        ("conversations", {"customer_id": "nobody"}),
        ("conversations", [5]),
        ("conversations", {"attributes": "none"}),
        ("customers", {"id": "nobody"}),
        ("employees", {"email": "a@example.org", "status": "approved"}),
        ("employees", {"status": "active"}),
        ("users", {"id": "nobody"}),
    ],
)
def test_a_malformed_change_is_refused(unchanged: Any, path: str, body: Any) -> None:
    answer = unchanged.control(path, body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_calls_are_counted_by_pattern(client: Any, window: Request) -> None:
    client.search(window)
    for id_ in ("a", "b,c"):
        client.kustomer(f"/v1/conversations/{id_}")
    client.kustomer("/v1/users/current")
    client.stella("/v2/employees/somebody")
    assert client.control("requests").json() == {
        "total": 5,
        "calls": {
            "GET /v1/conversations/{id}": 2,
            "GET /v1/users/current": 1,
            "GET /v2/employees/{id}": 1,
            "POST /v1/customers/search": 1,
        },
    }


def test_the_page_shows_what_was_received_with_every_text_escaped(
    client: Any, vendors: Sandbox, feedback: Request
) -> None:
    nasty = "<script>alert(1)</script>"
    client.post(feedback | {"customer": {"name": nasty, "email": "ada@example.com"}, "tags": [nasty]})
    client.post(feedback | {"external_url": 'https://larkspur.example.org/"><b>'})
    for url in (vendors.kustomer_url, vendors.stella_url):
        answer = client.session.get(f"{url}/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "ada@example.com" in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "<script" not in answer.text
        assert '"><b>' not in answer.text
        assert "duplicate" in answer.text
        assert 'http-equiv="refresh"' in answer.text
