from dataclasses import replace
from datetime import timedelta

import pytest

from include.interactions.feedback_request import at_expiry, feedback_request
from include.interactions.interaction import Interaction
from include.interactions.links import link_to
from include.interactions.settings import Settings
from tests.include.interactions.conftest import CLOSED_AT

INTERACTION = Interaction(
    "conversation1",
    CLOSED_AT,
    CLOSED_AT + timedelta(days=1),
    customer_id="customer1",
    customer_name="Jane",
    customer_email="jane@example.com",
    agent_email="ada@example.com",
    tags=("billing",),
)


def request(**changes):
    return feedback_request(
        replace(INTERACTION, **changes),
        employee_email="Ada@Example.com",
        web_url="https://acme.kustomerapp.com/",
        channel="email",
        do_not_send=changes.get("do_not_send", False),
    )


def test_a_feedback_request_tells_customer_agent_and_conversation():
    assert request() == {
        "channel": "email",
        "customer": {"name": "Jane", "email": "jane@example.com"},
        "employee": {"email": "Ada@Example.com"},
        "ext_interaction_id": "conversation1",
        "external_url": "https://acme.kustomerapp.com/app/customers/customer1/event/conversation1",
        "tags": ["billing"],
        "custom_properties": {"closed_at": "2026-01-05T10:15:00.250000+00:00"},
    }


def test_the_do_not_send_flag_is_there_only_when_needed():
    assert request(do_not_send=True)["do_not_send"] is True
    assert "do_not_send" not in request()


def test_without_tags_no_empty_list_is_sent():
    assert "tags" not in request(tags=())


def test_ids_are_quoted_in_the_link():
    assert link_to("https://a.example.com", "x/y", "z?") == "https://a.example.com/app/customers/x%2Fy/event/z%3F"


@pytest.mark.parametrize("choice", ["count", "send", "skip"])
def test_past_its_expiry_an_interaction_follows_on_expired(choice):
    settings = Settings(on_expired=choice, expire_after_seconds=120)
    expiry = INTERACTION.due_at + timedelta(seconds=120)

    assert at_expiry(INTERACTION, expiry, settings) == "send"
    assert at_expiry(INTERACTION, expiry + timedelta(milliseconds=1), settings) == choice
