from datetime import UTC, datetime

import pytest

from include.interactions.records import Customer, User, read_conversation

CLOSED_AT = datetime(2026, 1, 5, 10, 15, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def conversation():
    """A function from changed attributes to a conversation, done and assigned unless told otherwise."""

    def make(last_done=None, relationships=None, **attributes):
        record = {
            "type": "conversation",
            "id": "c" * 24,
            "attributes": {
                "status": "done",
                "assignedUsers": ["agent"],
                "tags": [],
                "lastDone": {
                    "createdAt": "2026-01-05T10:15:00.250Z",
                    "createdBy": "agent",
                    "assignedUsers": ["agent"],
                }
                | (last_done or {}),
            }
            | attributes,
            "relationships": {"customer": {"data": {"type": "customer", "id": "customer"}}} | (relationships or {}),
        }
        return read_conversation(record)

    return make


@pytest.fixture
def customer():
    """A function from addresses (texts, or dicts as Kustomer writes them) to a customer."""

    def make(*emails, **attributes):
        listed = [entry if isinstance(entry, dict) else {"type": "work", "email": entry} for entry in emails]
        return Customer.model_validate({"id": "customer", "attributes": {"emails": listed} | attributes})

    return make


@pytest.fixture
def user():
    """A function from an id to a user, a person with an address unless told otherwise."""

    def make(user_id="agent", **attributes):
        attributes = {"email": f"{user_id}@example.com", "userType": "user", "name": "Ada"} | attributes
        return User.model_validate({"id": user_id, "attributes": attributes})

    return make
