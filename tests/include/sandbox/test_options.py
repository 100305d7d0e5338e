"""Accounts that differ, keys that see less, and a slow POST."""

import time
from collections.abc import Callable
from typing import Any

from include.sandbox import KUSTOMER_KEY, OTHER_KUSTOMER_KEY, RULES_KUSTOMER_KEY, Sandbox
from include.sandbox.changes import change_conversation, change_customer
from include.sandbox.kustomer.records import MASK

Request = dict[str, Any]


def set_options(client: Any, **options: Any) -> None:
    client.control("options", options).raise_for_status()


def test_options_are_told_and_a_malformed_one_changes_nothing(client: Any) -> None:
    assert client.control("options").json()["stella_channels"] == ["phone", "chat", "email"]
    for wrong in (
        [],
        {"ports": 1},
        {"stella_channels": "email"},
        {"mask_emails": 1, "stella_brands": []},
        {"slow_post_every": True},
    ):
        assert client.control("options", wrong).status_code == 400
    assert client.control("options").json()["stella_brands"] == []


def test_a_key_without_read_sensitive_sees_masks(client: Any, window: Request) -> None:
    plain = client.search(window, size=500).json()["data"]
    set_options(client, mask_emails=True, mask_custom=True)
    customers = client.search(window | {"queryContext": "customer"}, size=500).json()["data"]
    one = client.kustomer(f"/v1/customers/{customers[0]['id']}").json()["data"]
    masked = client.search(window, size=500).json()["data"]
    emails = {email["email"] for row in [*customers, one] for email in row["attributes"]["emails"]}
    assert emails == {MASK}
    assert {value for row in masked for value in (row["attributes"].get("custom") or {}).values()} == {MASK}
    senders = {row["attributes"]["firstMessageIn"].get("meta", {}).get("from") for row in masked}
    assert senders == {None, MASK}
    set_options(client, mask_emails=False, mask_custom=False)
    assert client.search(window, size=500).json()["data"] == plain


def test_another_organisations_key_is_valid_and_sees_nothing(client: Any, window: Request) -> None:
    tokens = [client.kustomer("/v1/auth/tokens/current", key).json() for key in (KUSTOMER_KEY, OTHER_KUSTOMER_KEY)]
    ours, theirs = (token["data"]["relationships"]["org"]["data"]["id"] for token in tokens)
    assert ours != theirs
    assert client.kustomer("/v1/orgs/current", OTHER_KUSTOMER_KEY).json()["data"]["id"] == theirs
    found = client.search(window).json()["data"][0]["id"]
    nothing = client.search(window, authorization=f"Bearer {OTHER_KUSTOMER_KEY}").json()
    assert (nothing["data"], nothing["meta"]["total"]) == ([], 0)
    assert client.kustomer(f"/v1/conversations/{found}", OTHER_KUSTOMER_KEY).status_code == 404
    assert client.kustomer("/v1/users", OTHER_KUSTOMER_KEY).json()["data"] == []


def test_a_key_may_have_the_roles_that_rules_need(client: Any) -> None:
    statuses = [client.kustomer("/v1/brands", key).status_code for key in (KUSTOMER_KEY, RULES_KUSTOMER_KEY)]
    assert statuses == [403, 200]


def test_a_channel_can_be_switched_off(client: Any, feedback: Request) -> None:
    set_options(client, stella_channels=[])
    answer = client.post(feedback)
    assert (answer.status_code, answer.json()["error"]) == (400, "Channel not enabled for company")
    set_options(client, stella_channels=["email"])
    assert client.post(feedback).status_code == 200


def test_links_may_name_the_generic_host(client: Any, window: Request) -> None:
    set_options(client, generic_links=True)
    following = "https://api.kustomerapp.com/v1/customers/search?page=2&pageSize=100"
    assert client.search(window).json()["links"]["next"] == following
    assert client.search(window).json()["links"]["prev"] is None


def test_a_search_may_count_rows_that_it_never_returns(client: Any, window: Request) -> None:
    rows = len(client.search(window, size=500).json()["data"])
    set_options(client, overcounted_rows=2)
    page = client.search(window, size=500).json()
    assert (len(page["data"]), page["meta"]["total"], page["links"]["next"]) == (rows, rows + 2, None)


def test_what_is_deleted_may_be_returned_in_either_shape(vendors: Sandbox, client: Any, window: Request) -> None:
    found = client.search(window).json()["data"]
    gone, marked = (row["id"] for row in found[:2])
    customer = found[0]["relationships"]["customer"]["data"]["id"]
    change_conversation(vendors.state, {"id": gone, "deleted": True})
    change_conversation(vendors.state, {"id": marked, "attributes": {"deletedAt": "2026-01-05T12:00:00.000Z"}})
    change_customer(vendors.state, {"id": customer, "attributes": {"deletedAt": "2026-01-05T12:00:00.000Z"}})
    assert client.kustomer(f"/v1/conversations/{gone}").status_code == 404
    set_options(client, show_deleted=True)
    shown = client.kustomer(f"/v1/conversations/{gone}").json()["data"]["attributes"]
    only_at = client.kustomer(f"/v1/conversations/{marked}").json()["data"]["attributes"]
    assert shown["deleted"] is True
    assert (only_at.get("deleted"), only_at["deletedAt"]) in {
        (None, only_at["deletedAt"]),
        (False, only_at["deletedAt"]),
    }
    assert client.kustomer(f"/v1/customers/{customer}").json()["data"]["attributes"]["deletedAt"]


def test_a_post_may_take_long_and_each_so_many_th_longer(
    run: Callable[..., Sandbox], client_of: Any, feedback: Request
) -> None:
    client = client_of(run(post_seconds=0.05, slow_post_every=2, slow_post_seconds=0.5))
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        assert client.post(feedback).status_code == 200
        seconds.append(time.perf_counter() - began)
    assert seconds[0] >= 0.05
    assert seconds[1] >= 0.5
