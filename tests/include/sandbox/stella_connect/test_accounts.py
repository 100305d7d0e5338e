"""Accounts with several brands, languages and other channels."""

from typing import Any

import pytest

BRANDS = {
    "stella_brands": ("kids", "home"),
    "stella_languages": ("en", "fr-CA"),
    "stella_channels": ("email", "sms"),
}


@pytest.fixture
def account(run: Any, client_of: Any) -> Any:
    return client_of(run(**BRANDS))


@pytest.fixture
def request_of(organisation: Any) -> Any:
    employee = next(one.email for one in organisation.employees if one.status == "active")

    def of(**more: str) -> dict[str, Any]:
        return {
            "channel": "email",
            "customer": {"name": "Jane", "email": "jane@example.com"},
            "employee": {"email": employee},
            "ext_interaction_id": "c1",
            **more,
        }

    return of


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"language": "en"}, "Brand signifier not provided"),
        ({"brand": "larkspur", "language": "en"}, "Invalid/inactive brand signifier"),
        ({"brand": "kids"}, "Language not specified"),
        ({"brand": "kids", "language": "fr_CA"}, "Validation Error"),
        ({"brand": "kids", "language": "de"}, "Validation Error"),
        ({"brand": "kids", "language": "en", "channel": "phone"}, "Channel not enabled for company"),
    ],
)
def test_a_request_must_name_what_the_account_has_several_of(
    account: Any, request_of: Any, more: dict[str, str], error: str
) -> None:
    refused = account.post(request_of(**more))

    assert (refused.status_code, refused.json()["error"]) == (400, error)


def test_what_the_account_has_is_taken(account: Any, request_of: Any) -> None:
    assert account.post(request_of(brand="home", language="fr-CA", channel="sms")).status_code == 200


def test_an_account_of_one_brand_and_language_needs_neither(client: Any, request_of: Any) -> None:
    assert client.post(request_of()).status_code == 200
    assert client.post(request_of(brand="larkspur", language="de")).status_code == 200
