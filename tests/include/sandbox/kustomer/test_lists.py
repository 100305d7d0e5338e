from typing import Any

import pytest

from include.sandbox import KUSTOMER_KEY, Sandbox
from include.sandbox.model import BRAND, Schedule
from include.sandbox.options import LIST_ROLES, ROLES


@pytest.fixture
def lists(organisation: Any, run: Any, client_of: Any) -> Any:
    organisation.brands["b2"] = "Larkspur Kids"
    organisation.queues["q1"] = "Night shift"
    organisation.teams["t1"] = "Billing"
    organisation.sub_statuses["s1"] = "Refunded"
    organisation.schedules += [
        Schedule("5f00000000000000000000a0", "Support", "Europe/Paris", {"1": [[540, 1080]], "0": None}),
        Schedule(
            "5f00000000000000000000b0", "Office", "UTC", {}, (("New Year", "2026-01-01", "2026-01-01", True),), True
        ),
    ]
    return client_of(run(kustomer_roles=(*ROLES, *LIST_ROLES)))


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("/v1/brands", [(BRAND, {"name": "Larkspur"}), ("b2", {"name": "Larkspur Kids"})]),
        ("/v1/queues", [("q1", {"name": "Night shift"})]),
        ("/v1/teams", [("t1", {"name": "Billing"})]),
        ("/v1/sub-statuses", [("s1", {"label": "Refunded"})]),
    ],
)
def test_a_list_has_names_by_id(lists: Any, path: str, rows: list[Any]) -> None:
    answer = lists.kustomer(path).json()

    assert [(row["id"], row["attributes"]) for row in answer["data"]] == rows
    assert answer["links"]["next"] is None


def test_a_schedule_is_found_by_id_or_as_the_default_with_its_holidays(lists: Any) -> None:
    assert [row["attributes"]["name"] for row in lists.kustomer("/v1/schedules").json()["data"]] == [
        "Support",
        "Office",
    ]
    default = lists.kustomer("/v1/schedules/default?include=holidays").json()
    assert default["data"]["attributes"]["timezone"] == "UTC"
    assert default["included"][0]["attributes"]["startDate"] == "2026-01-01T00:00:00.000Z"
    assert lists.kustomer("/v1/schedules/5f00000000000000000000a0").json()["included"] == []
    assert lists.kustomer("/v1/schedules/nowhere").status_code == 404


@pytest.mark.parametrize(
    "path", ["/v1/brands", "/v1/queues", "/v1/teams", "/v1/schedules", "/v1/schedules/default"]
)
def test_a_list_needs_a_role_that_the_usual_key_lacks(vendors: Sandbox, client: Any, path: str) -> None:
    assert vendors.state.kustomer_tokens[KUSTOMER_KEY] == ROLES
    assert client.kustomer(path).status_code == 403


def test_a_customers_attributes_can_be_set(vendors: Sandbox, client: Any) -> None:
    customer = next(iter(vendors.state.organisation.customers.values()))
    client.control("customers", {"id": customer.id, "attributes": {"timeZone": "Asia/Tokyo"}}).raise_for_status()

    attributes = client.kustomer(f"/v1/customers/{customer.id}").json()["data"]["attributes"]
    assert attributes["timeZone"] == "Asia/Tokyo"
    assert attributes["name"] == customer.name
