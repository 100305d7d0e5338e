"""The two connection types, as Airflow's API server offers and tests them."""

import json
from typing import Any

import pytest

from include.sandbox import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET
from tests.support.installation import SEARCH_ROLE, WEB_URL, Installation

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


@pytest.fixture
def kustomer(installation: Installation) -> dict[str, Any]:
    """What a person types into the form."""
    return {
        "connection_id": "new",
        "conn_type": "kustomer",
        "host": installation.sandbox.kustomer_url,
        "password": KUSTOMER_KEY,
        "extra": json.dumps({"web_url": WEB_URL}),
    }


@pytest.fixture
def stella_connect(installation: Installation) -> dict[str, Any]:
    """What a person types into the form."""
    return {
        "connection_id": "new",
        "conn_type": "stella_connect",
        "host": installation.sandbox.stella_url,
        "password": STELLA_KEY,
        "extra": json.dumps({"api_secret": STELLA_SECRET}),
    }


def pressed(installation: Installation, connection: dict[str, Any]) -> tuple[bool, str]:
    """What the button Test answers when pressed: whether it works, and the message."""
    answer = installation.api.call("POST", "connections/test", connection)
    return answer["status"], answer["message"]


def test_both_types_are_offered_with_fitting_labels(installation: Installation) -> None:
    offered = installation.offered_connection_types()
    for type_, name, labels in (
        ("kustomer", "Kustomer", {"web_url": "Kustomer URL"}),
        ("stella_connect", "Stella Connect", {"api_secret": "API secret", "jwt_prefix": "Token prefix"}),
    ):
        fields = offered[type_]["standard_fields"]
        assert offered[type_]["hook_name"] == name
        assert [field for field, how in fields.items() if how and how["hidden"]] == ["url_schema", "port", "login"]
        assert (fields["host"]["title"], fields["password"]["title"]) == ("API URL", "API key")
        extra = {field: how["schema"]["title"] for field, how in offered[type_]["extra_fields"].items()}
        assert extra == labels
    assert offered["stella_connect"]["extra_fields"]["api_secret"]["schema"]["format"] == "password"


def test_the_test_button_says_yes_to_good_connections(
    installation: Installation, kustomer: dict[str, Any], stella_connect: dict[str, Any]
) -> None:
    works, message = pressed(installation, kustomer)
    assert works
    assert "all needed roles" in message
    assert "can also need: org.permission.brand.read" in message
    works, message = pressed(installation, stella_connect)
    assert works
    assert "accepts the key and the secret" in message


def test_the_test_button_names_the_role_that_a_key_lacks(
    installation: Installation, kustomer: dict[str, Any]
) -> None:
    with installation.kustomer_key_without(SEARCH_ROLE):
        works, message = pressed(installation, kustomer)
    assert not works
    assert "lacks 1 of the 5 roles" in message
    assert SEARCH_ROLE in message


def test_the_test_button_says_what_to_do_about_a_wrong_secret(
    installation: Installation, stella_connect: dict[str, Any]
) -> None:
    works, message = pressed(installation, stella_connect | {"extra": json.dumps({"api_secret": "another"})})
    assert not works
    assert message.startswith("GET /v2/employees answered 403")
    assert 'Check the password (API key) and "api_secret" of this connection' in message
