import time
from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox import EXPIRED_KUSTOMER_KEY, KUSTOMER_KEY, Sandbox


def test_the_token_check_names_the_roles(unchanged: Any) -> None:
    answer = unchanged.kustomer("/v1/auth/tokens/current")
    assert answer.status_code == 200
    assert "org.permission.user.read" in answer.json()["data"]["attributes"]["roles"]


@pytest.mark.parametrize("path", ["/v1/auth/tokens/current", "/v1/users", "/v1/conversations/abc"])
@pytest.mark.parametrize("key", ["wrong", EXPIRED_KUSTOMER_KEY, ""])
def test_a_bad_key_is_401(unchanged: Any, path: str, key: str) -> None:
    assert unchanged.kustomer(path, key).status_code == 401


def test_a_call_without_bearer_is_401(unchanged: Any) -> None:
    url = f"{unchanged.sandbox.kustomer_url}/v1/users"
    assert unchanged.session.get(url, headers={"authorization": KUSTOMER_KEY}).status_code == 401
    assert unchanged.session.get(url).status_code == 401


def test_both_error_shapes_take_turns(unchanged: Any) -> None:
    shapes = [set(unchanged.kustomer("/v1/users", "wrong").json()["errors"][0]) for _ in range(4)]
    assert shapes[0] == shapes[2] != shapes[1] == shapes[3]
    assert {frozenset(shape) for shape in shapes} == {
        frozenset({"code", "message", "meta"}),
        frozenset({"status", "code", "title", "detail", "meta"}),
    }


@pytest.mark.parametrize(
    ("roles", "status"),
    [
        (("org.permission.user.read",), 200),
        (("org.permission.user",), 200),
        (("org.permission",), 200),
        (("org.user.read",), 200),
        (("org.permission.use",), 403),
        (("org.permission.customer.read", "org.permission.search"), 403),
        ((), 403),
    ],
)
def test_a_role_or_the_broader_one_above_it_is_needed(
    vendors: Sandbox, client: Any, roles: tuple[str, ...], status: int
) -> None:
    vendors.state.kustomer_tokens["other-key"] = roles
    assert client.kustomer("/v1/users", "other-key").status_code == status
    assert client.kustomer("/v1/auth/tokens/current", "other-key").status_code == 200


def test_a_search_needs_the_search_role(vendors: Sandbox, client: Any, window: dict[str, Any]) -> None:
    vendors.state.kustomer_tokens[KUSTOMER_KEY] = ("org.permission.conversation.read",)
    assert client.search(window).status_code == 403


def test_who_and_where_we_are(unchanged: Any) -> None:
    assert unchanged.kustomer("/v1/users/current").json()["data"]["attributes"]["userType"] == "machine"
    assert unchanged.kustomer("/v1/orgs/current").json()["data"]["attributes"]["name"] == "larkspur"


def test_one_conversation_is_an_object_and_several_are_a_list_of_those_found(unchanged: Any) -> None:
    conversations = unchanged.sandbox.state.organisation.conversations.values()
    here = [one.id for one in conversations if not one.deleted][:2]
    gone = next(one.id for one in conversations if one.deleted)
    single = unchanged.kustomer(f"/v1/conversations/{here[0]}").json()
    assert single["data"]["id"] == here[0]
    several = unchanged.kustomer(f"/v1/conversations/{here[0]},{gone},{here[1]},nonsense,{here[0]}").json()
    assert [row["id"] for row in several["data"]] == here
    assert unchanged.kustomer(f"/v1/conversations/{gone}").status_code == 404
    assert unchanged.kustomer(f"/v1/conversations/{gone},nonsense").json() == {"data": []}


def test_more_than_a_hundred_ids_are_refused(unchanged: Any) -> None:
    ids = list(unchanged.sandbox.state.organisation.conversations)
    assert len(unchanged.kustomer(f"/v1/conversations/{','.join(ids[:100])}").json()["data"]) > 90
    assert unchanged.kustomer(f"/v1/conversations/{','.join(ids[:101])}").status_code == 400


def test_records_are_json_api_with_absent_null_and_empty_values(unchanged: Any, window: dict[str, Any]) -> None:
    rows = unchanged.search({"queryContext": "conversation"}, size=500).json()["data"]
    for row in rows:
        assert set(row) == {"type", "id", "attributes", "relationships", "links"}
        assert row["links"]["self"] == f"/v1/conversations/{row['id']}"
        assert row["relationships"]["customer"]["data"]["type"] == "customer"
        assert len(row["id"]) == 24
    custom = [row["attributes"].get("custom", "absent") for row in rows]
    assert None in custom
    assert {} in custom
    assert "absent" in custom


def test_a_conversation_that_was_never_done_has_a_last_done_without_a_time(unchanged: Any) -> None:
    body = {"queryContext": "conversation", "and": [{"conversation_last_done_created_at": {"not_set": ""}}]}
    rows = unchanged.search(body).json()["data"]
    assert rows
    for row in rows:
        assert "createdAt" not in row["attributes"]["lastDone"]
        assert row["attributes"]["lastDone"]["assignedUsers"] == []
    assert any(row["attributes"]["ended"] and row["attributes"]["status"] == "open" for row in rows)


def test_a_reopened_conversation_keeps_its_last_closing(client: Any, vendors: Sandbox) -> None:
    one = next(one for one in vendors.state.organisation.conversations.values() if one.expected == "sent")
    before = client.kustomer(f"/v1/conversations/{one.id}").json()["data"]["attributes"]["lastDone"]
    client.control("conversations", {"id": one.id, "status": "open"}).raise_for_status()
    after = client.kustomer(f"/v1/conversations/{one.id}").json()["data"]["attributes"]
    assert after["status"] == "open"
    assert after["lastDone"] == before


def test_a_close_by_automation_has_no_closer(unchanged: Any) -> None:
    one = _situation(unchanged, "closed by automation")
    done = unchanged.kustomer(f"/v1/conversations/{one.id}").json()["data"]["attributes"]["lastDone"]
    assert done["createdBy"] is None
    assert done["createdAt"]


def test_tags_are_ids_of_which_some_are_unknown(unchanged: Any) -> None:
    first = unchanged.kustomer("/v1/tags").json()
    assert len(first["data"]) == 100
    second = unchanged.kustomer(first["links"]["next"]).json()
    assert second["links"]["next"] is None
    known = {row["id"] for page in (first, second) for row in page["data"]}
    one = _situation(unchanged, "an unknown tag")
    tags = unchanged.kustomer(f"/v1/conversations/{one.id}").json()["data"]["attributes"]["tags"]
    assert tags[0] not in known
    assert set(tags[1:]) <= known
    assert unchanged.kustomer("/v1/tags?pageSize=101").status_code == 400


def test_a_merged_conversation_names_the_survivor(unchanged: Any) -> None:
    one = _situation(unchanged, "merged away")
    attributes = unchanged.kustomer(f"/v1/conversations/{one.id}").json()["data"]["attributes"]
    assert attributes["status"] == "done"
    assert attributes["mergedInto"]


def test_users_are_paged_and_filtered_by_one_filter_at_a_time(unchanged: Any) -> None:
    def ids(query: str) -> set[str]:
        return {row["id"] for row in unchanged.kustomer(f"/v1/users?pageSize=500&{query}").json()["data"]}

    users = unchanged.sandbox.state.organisation.users.values()
    deactivated = {one.id for one in users if one.deleted_at}
    assert ids("deleted=true") == deactivated
    assert ids("deleted=false") == {one.id for one in users} - deactivated
    assert ids("userType=machine") == {one.id for one in users if one.user_type == "machine"}
    assert unchanged.kustomer("/v1/users?deleted=true&userType=user").status_code == 400
    assert unchanged.kustomer("/v1/users?deleted=maybe").status_code == 400
    assert unchanged.kustomer("/v1/users?pageSize=501").status_code == 400
    first = unchanged.kustomer("/v1/users?pageSize=5").json()
    second = unchanged.kustomer(first["links"]["next"]).json()
    assert len(first["data"]) == len(second["data"]) == 5
    assert not {row["id"] for row in first["data"]} & {row["id"] for row in second["data"]}


def test_users_are_looked_up_by_ids(unchanged: Any) -> None:
    ids = list(unchanged.sandbox.state.organisation.users)[:3]
    several = unchanged.kustomer(f"/v1/users/{','.join(ids)},nonsense").json()["data"]
    assert [row["id"] for row in several] == ids
    assert unchanged.kustomer(f"/v1/users/{ids[0]}").json()["data"]["id"] == ids[0]
    assert unchanged.kustomer("/v1/users/nonsense").status_code == 404


def test_a_customer_is_looked_up_alone(unchanged: Any) -> None:
    ids = list(unchanged.sandbox.state.organisation.customers)[:2]
    record = unchanged.kustomer(f"/v1/customers/{ids[0]}").json()["data"]
    assert record["type"] == "customer"
    assert unchanged.kustomer(f"/v1/customers/{','.join(ids)}").status_code == 404


def test_an_unknown_path_is_refused_in_the_vendors_shape(unchanged: Any) -> None:
    assert unchanged.kustomer("/v1/nothing").json()["errors"]
    assert unchanged.kustomer("/v1/customers/search").status_code in (404, 405)


def test_the_search_budget_is_smaller_than_the_organisations(
    run: Callable[..., Sandbox], client_of: Any, window: dict[str, Any]
) -> None:
    client = client_of(run(search_per_minute=3, org_per_minute=100))
    answers = [client.search(window) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[-1].headers["x-ratelimit-limit"] == "3"
    assert "retry-after" not in answers[-1].headers
    wait = int(answers[-1].headers["x-ratelimit-reset"]) - time.time()
    assert 0 < wait <= 61
    assert client.kustomer("/v1/users").status_code == 200


def test_the_organisations_budget_counts_every_call(run: Callable[..., Sandbox], client_of: Any) -> None:
    client = client_of(run(org_per_minute=2, retry_after=True))
    answers = [client.kustomer(path) for path in ("/v1/users", "/v1/tags", "/v1/auth/tokens/current")]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61


def test_a_budget_is_full_again_after_the_reset(
    run: Callable[..., Sandbox], client_of: Any, window: dict[str, Any]
) -> None:
    client = client_of(run(search_per_minute=1, limit_window_seconds=1))
    assert client.search(window).status_code == 200
    deadline = time.monotonic() + 20
    while (answer := client.search(window)).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.status_code == 200


def _situation(client: Any, name: str) -> Any:
    conversations = client.sandbox.state.organisation.conversations.values()
    return next(one for one in conversations if one.situation == name)
