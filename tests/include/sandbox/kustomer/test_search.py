import time
from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox import Sandbox

Body = dict[str, Any]


def pages(client: Any, body: Body, size: int) -> list[Body]:
    """Follow `links.next` until null."""
    found = []
    number: int | None = 1
    while number is not None:
        answer = client.search(body, number, size)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        number = number + 1 if found[-1]["links"]["next"] else None
    return found


def test_a_window_holds_all_closings_and_nothing_that_was_never_closed(
    client: Any, window: Body, vendors: Sandbox
) -> None:
    rows = [row for page in pages(client, window, 100) for row in page["data"]]
    found = {row["id"] for row in rows}
    conversations = vendors.state.organisation.conversations.values()
    expected = {one.id for one in conversations if one.expected == "sent"}
    assert expected < found
    assert {row["attributes"]["status"] for row in rows} == {"done"}
    assert not found & {one.id for one in conversations if one.deleted and not one.lingers}
    lingering = [row for row in rows if row["attributes"].get("deleted")]
    assert lingering
    assert client.kustomer(f"/v1/conversations/{lingering[0]['id']}").status_code == 404


def test_deleted_conversations_are_found_when_asked_for(client: Any, window: Body, vendors: Sandbox) -> None:
    gone = {one.id for one in vendors.state.organisation.conversations.values() if one.deleted}
    rows = client.search(window | {"includeDeleted": True}, size=500).json()["data"]
    assert gone <= {row["id"] for row in rows}


def test_pages_repeat_rows_though_total_counts_each_once(unchanged: Any, window: Body) -> None:
    found = pages(unchanged, window, 50)
    ids = [row["id"] for page in found for row in page["data"]]
    assert len(set(ids)) == found[0]["meta"]["total"] < len(ids)
    assert {page["meta"]["totalPages"] for page in found} == {len(found)}
    assert found[0]["data"][-1]["id"] == found[1]["data"][0]["id"]


def test_repeating_can_be_switched_off(run: Callable[..., Sandbox], client_of: Any, window: Body) -> None:
    found = pages(client_of(run(repeated_share=0)), window, 50)
    ids = [row["id"] for page in found for row in page["data"]]
    assert len(ids) == len(set(ids)) == found[0]["meta"]["total"]


def test_the_sort_is_only_roughly_obeyed(unchanged: Any, window: Body) -> None:
    rows = unchanged.search(window | {"sort": [{"conversation_updated_at": "asc"}]}, size=500).json()["data"]
    times = [row["attributes"]["updatedAt"] for row in rows]
    assert times != sorted(times)
    assert times[:7] == sorted(times[:7], reverse=True)
    assert max(times[:7]) <= min(times[7:])
    unsorted = [row["attributes"]["updatedAt"] for row in unchanged.search(window, size=500).json()["data"]]
    assert unsorted not in (times, sorted(times), sorted(times, reverse=True))


def test_links_are_paths_that_end_with_null(unchanged: Any, window: Body) -> None:
    found = pages(unchanged, window, 100)
    assert found[0]["links"]["prev"] is None
    assert found[0]["links"]["next"] == "/v1/customers/search?page=2&pageSize=100"
    assert found[-1]["links"]["next"] is None


def test_page_100_points_on_but_page_101_is_refused(unchanged: Any, window: Body) -> None:
    last = unchanged.search(window, 100, 1)
    assert last.status_code == 200
    assert last.json()["meta"]["totalPages"] > 100
    assert last.json()["links"]["next"] == "/v1/customers/search?page=101&pageSize=1"
    assert unchanged.search(window, 101, 1).status_code == 400


def test_a_page_behind_the_end_is_empty(unchanged: Any, window: Body) -> None:
    answer = unchanged.search(window, 50, 100).json()
    assert answer["data"] == []
    assert answer["links"]["next"] is None


@pytest.mark.parametrize("query", ["page=0", "page=x", "pageSize=501", "pageSize=0", "page=-1", "idsOnly=true"])
def test_paging_outside_the_documented_range_is_refused(unchanged: Any, window: Body, query: str) -> None:
    answer = unchanged.session.post(
        f"{unchanged.sandbox.kustomer_url}/v1/customers/search?{query}",
        json=window,
        headers={"authorization": "Bearer kustomer-sandbox-key"},
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"and": []},
        {"queryContext": "company"},
        {"queryContext": "conversation", "limit": 5},
        {"queryContext": "conversation", "and": {}},
        {"queryContext": "conversation", "and": [{"conversation_closed_at": {"gte": "2026-01-05T10:00:00.000Z"}}]},
        {"queryContext": "conversation", "and": [{"conversation_status": {"is": "done"}}]},
        {"queryContext": "conversation", "and": [{"conversation_status": {"gte": "done"}}]},
        {"queryContext": "conversation", "and": [{"conversation_status": {"equals": 5}}]},
        {"queryContext": "conversation", "and": [{"conversation_status": {"in": "done"}}]},
        {"queryContext": "conversation", "and": [{"conversation_status": {"not_set": True}}]},
        {"queryContext": "conversation", "and": [{"conversation_status": {"equals": "done", "in": ["open"]}}]},
        {"queryContext": "conversation", "and": [{}]},
        {"queryContext": "conversation", "sort": "conversation_updated_at"},
        {"queryContext": "conversation", "sort": [{"conversation_name": "asc"}]},
        {"queryContext": "conversation", "sort": [{"conversation_updated_at": "up"}]},
        {"queryContext": "conversation", "timeZone": "Mars/Olympus"},
        {"queryContext": "conversation", "includeDeleted": "yes"},
        {"queryContext": "conversation", "aggs": {}},
    ],
)
def test_a_query_outside_the_documents_is_refused(unchanged: Any, body: Any) -> None:
    answer = unchanged.search(body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "bad_request"


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T10:00:00",
        "2026-01-05T10:00:00.123456Z",
        "2026-01-05 10:00:00+00:00",
        "2026-01-05T10:00:00+01:00",
        "2026-02-30",
        "yesterday",
        1767607200,
        None,
    ],
)
def test_a_time_must_be_a_day_or_utc_with_z(unchanged: Any, text: Any) -> None:
    body = {"queryContext": "conversation", "and": [{"conversation_updated_at": {"gte": text}}]}
    assert unchanged.search(body).status_code == 400


@pytest.mark.parametrize(
    ("criteria", "share"),
    [
        ([{"conversation_status": {"in": ["open", "snoozed"]}}], "some"),
        ([{"conversation_last_done_created_at": {"not_set": ""}}], "some"),
        ([{"conversation_last_done_created_at": {"gt": "2026-01-05T10:59:59.998Z"}}], "some"),
        ([{"conversation_last_done_created_at": {"lte": "2026-01-05T10:00:00Z"}}], "some"),
        ([{"conversation_created_at": {"lt": "2026-01-05"}}], "some"),
        ([{"conversation_updated_at": {"gte": "2026-01-06"}}], "none"),
        ([{"conversation_name": {"contains": "REFUND"}}], "some"),
        ([{"conversation_channels": {"contains": "chat"}}], "some"),
        ([{"conversation_custom_doNotSendStellaConnectRequestBool": {"equals": True}}], "some"),
        ([{"conversation_ended": {"equals": True}}], "some"),
    ],
)
def test_the_documented_operators_find(unchanged: Any, criteria: Any, share: str) -> None:
    total = unchanged.search({"queryContext": "conversation", "and": criteria}).json()["meta"]["total"]
    assert (0 < total < 300) if share == "some" else total == 0


def test_or_and_not_combine_with_and(unchanged: Any) -> None:
    def total(**groups: Any) -> int:
        return int(unchanged.search({"queryContext": "conversation"} | groups).json()["meta"]["total"])

    states = {name: [{"conversation_status": {"equals": name}}] for name in ("open", "snoozed", "done")}
    assert total() == sum(total(**{"and": test}) for test in states.values())
    assert total(**{"or": states["open"] + states["snoozed"]}) == total(**{"not": states["done"]})
    assert total(**{"and": states["done"], "not": states["done"]}) == 0


def test_a_day_starts_in_the_querys_time_zone(unchanged: Any) -> None:
    def total(zone: str) -> int:
        test = {"conversation_last_done_created_at": {"gte": "2026-01-06"}}
        body = {"queryContext": "conversation", "and": [test], "timeZone": zone}
        return int(unchanged.search(body).json()["meta"]["total"])

    assert total("GMT") == 0
    assert total("Pacific/Auckland") == 0
    assert total("Pacific/Kiritimati") > 250


def test_the_customers_of_a_window_are_a_superset_but_for_those_not_indexed(
    client: Any, window: Body, vendors: Sandbox
) -> None:
    organisation = vendors.state.organisation
    customer_ids = {
        row["relationships"]["customer"]["data"]["id"] for row in client.search(window, size=500).json()["data"]
    }
    first = next(iter(customer_ids))
    client.control("customers", {"id": first, "unindexed": True}).raise_for_status()
    rows = client.search(window | {"queryContext": "customer"}, size=500).json()["data"]
    assert {row["type"] for row in rows} == {"customer"}
    found = {row["id"] for row in rows}
    assert {id_ for id_ in customer_ids if not organisation.customers[id_].unindexed} <= found
    assert first not in found
    assert client.kustomer(f"/v1/customers/{first}").status_code == 200


def test_a_customers_criteria_may_hold_for_different_conversations(client: Any, vendors: Sandbox) -> None:
    organisation = vendors.state.organisation
    done = next(one for one in organisation.conversations.values() if one.expected == "sent")
    change = {"status": "open", "closed_at": None, "created_at": "2020-01-01T00:00:00Z"}
    other = client.control("conversations", change | {"customer_id": done.customer_id}).json()
    body = {
        "and": [
            {"conversation_status": {"equals": "done"}},
            {"conversation_created_at": {"lt": "2020-01-02T00:00:00.000Z"}},
        ]
    }
    assert client.search(body | {"queryContext": "conversation"}).json()["data"] == []
    found = client.search(body | {"queryContext": "customer"}).json()["data"]
    assert [row["id"] for row in found] == [done.customer_id]
    assert other["attributes"]["status"] == "open"


def test_the_index_shows_a_changed_conversation_as_it_was_until_the_lag_is_over(
    run: Callable[..., Sandbox], client_of: Any, window: Body
) -> None:
    sandbox = run(index_lag_seconds=1.5, repeated_share=0)
    client = client_of(sandbox)
    one = next(one for one in sandbox.state.organisation.conversations.values() if one.expected == "sent")
    client.control("conversations", {"id": one.id, "status": "open"}).raise_for_status()
    client.control("conversations", {"id": "a" * 24, "closed_at": "2026-01-05T10:30:00Z"}).raise_for_status()

    def found() -> set[str]:
        return {row["id"] for row in client.search(window, size=500).json()["data"]}

    now = found()
    assert one.id in now
    assert "a" * 24 not in now
    assert client.kustomer(f"/v1/conversations/{one.id}").json()["data"]["attributes"]["status"] == "open"
    deadline = time.monotonic() + 20
    while one.id in (now := found()) or "a" * 24 not in now:
        assert time.monotonic() < deadline
        time.sleep(0.1)
