"""An organisation with brands, queues and languages, and Stella Connect set up for some of them."""

import pytest

from include.sandbox import generate, start
from include.sandbox.options import LIST_ROLES, ROLES
from tests.scenarios.conftest import HOUR

BRANDS = {"b-home": "Larkspur Home", "b-kids": "Larkspur Kids", "b-none": "Not at Stella"}
QUEUES = {"q-day": "Day shift", "q-night": "Night shift"}
LANGUAGES = {"en_us": "en-US", "fr_CA": "fr-CA", "de": "de"}
MAPPING = {
    "channel": {"from": "channel", "map": {"chat": "chat", "voice": "phone"}, "default": "email"},
    "brand": {"from": "brand", "map": {"Larkspur Home": "home", "larkspur kids": "kids"}},
    "language": {"from": "language", "default": "en-US"},
    "custom_properties": {"queue": "queue", "plan": "custom.planStr", "tier": "customer.custom.tierStr"},
}
QUICK = {"seconds_until_send": 60, "kustomer_requests_per_minute": 100_000}


@pytest.fixture
def sandbox(hour, size):
    organisation = generate(seed=7, conversations=size, agents=12, closed_from=hour, closed_to=hour + HOUR)
    organisation.brands |= BRANDS
    organisation.queues |= QUEUES
    options = {"search_per_minute": 0, "org_per_minute": 0, "data_per_minute": 0}
    account = {"stella_brands": ("home", "kids"), "stella_languages": tuple(LANGUAGES.values())}
    with start(organisation, kustomer_roles=(*ROLES, *LIST_ROLES), **options, **account) as running:
        yield running


def related(**ids):
    return {name: {"data": {"type": name, "id": identity}} for name, identity in ids.items()}


def sent(sandbox):
    return {one.request["ext_interaction_id"]: one.request for one in sandbox.state.received}


def at_home(**ids):
    return related(brand="b-home", **ids)
