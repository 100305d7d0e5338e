from datetime import UTC, datetime, timedelta

import pytest

from include.interactions.records import Conversation, Malformed, User, read_conversation
from tests.include.interactions.conftest import CLOSED_AT


def test_a_conversation_that_was_never_done_has_no_closing(conversation):
    assert conversation(last_done={"createdAt": None, "assignedUsers": []}).closed_at is None


def test_unknown_attributes_and_harmless_nonsense_are_ignored(conversation):
    record = conversation(
        tags="not a list", custom=7, spam="perhaps", somethingNew={"a": 1}, preview="x" * 2_000_000
    )

    assert isinstance(record, Conversation)
    assert record.tag_ids == []
    assert record.custom is None


def test_a_record_without_attributes_is_a_conversation_without_values():
    record = read_conversation({"id": "c1"})

    assert isinstance(record, Conversation)
    assert record.closed_at is None


def test_unreadable_assignees_make_a_closing_malformed(conversation):
    record = conversation(last_done={"assignedUsers": "agent"})

    assert isinstance(record, Malformed)
    assert record.status == "done"
    assert "assignedUsers" in record.fields


def test_an_unreadable_customer_makes_a_closing_malformed(conversation):
    assert isinstance(conversation(relationships={"customer": {"data": {"id": 17}}}), Malformed)


def test_a_record_without_an_id_cannot_be_told_apart():
    assert read_conversation({"id": None, "attributes": {"status": "done"}}) is None
    assert read_conversation({"id": "x" * 2_000_000}) is None


@pytest.mark.parametrize(
    ("written", "read", "within", "assumed"),
    [
        ("2026-01-05T10:15:00.250Z", CLOSED_AT, 0, False),
        ("2026-01-05T11:15:00.250+01:00", CLOSED_AT, 0, False),
        ("2026-01-05T11:15:00.250+0100", CLOSED_AT, 0, False),
        (1767608100250, CLOSED_AT, 0, False),
        ("2026-01-05T10:15:00.250", CLOSED_AT, 0, True),
        ("2026-01-05 10:15:00.250", CLOSED_AT, 0, True),
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC), 1, True),
        ("yesterday", None, 0, False),
        ("2026-13-05T10:15:00Z", None, 0, False),
        ("********", None, 0, False),
        ({}, None, 0, False),
    ],
)
def test_a_closing_time_is_read_as_utc_unless_it_says_otherwise(conversation, written, read, within, assumed):
    for changes in ({"createdAt": written}, {"createdAt": written, "assignedUsers": 7}):
        record = conversation(last_done=changes)
        assert record.closed_at == read
        assert record.closed_within == timedelta(days=within)
    assert bool(conversation(last_done={"createdAt": written}).assumption) is assumed


@pytest.mark.parametrize(
    ("marks", "deleted"),
    [
        ({}, False),
        ({"deleted": True}, True),
        ({"deleted": "true"}, True),
        ({"deletedAt": "2026-01-05T11:00:00Z"}, True),
        ({"deleted": None, "deletedAt": "2026-01-05T11:00:00Z"}, True),
        ({"deleted": False, "deletedAt": None}, False),
        ({"deleted": {}, "deletedAt": {}}, False),
    ],
)
def test_either_mark_of_a_deletion_is_enough(conversation, customer, marks, deleted):
    assert conversation(**marks).deleted is deleted
    assert customer("jane@example.com", **marks).deleted is deleted


@pytest.mark.parametrize(
    ("custom", "opt_out"),
    [
        (None, "no"),
        ({}, "no"),
        ("********", "masked"),
        (["quietBool"], "yes"),
        ({"quietBool": True, "doNotSendStellaConnectBool": False}, "no"),
        ({"doNotSendStellaConnectBool": True}, "yes"),
    ],
)
def test_custom_attributes_that_cannot_be_read_never_mean_send(conversation, custom, opt_out):
    assert conversation(custom=custom).opt_out(None) == opt_out


def test_the_survivor_of_a_merge_is_not_merged_away(conversation):
    assert not conversation(mergedTarget=True).merged_away


def test_a_merged_conversation_is_recognised_by_attribute_or_relationship(conversation):
    assert conversation(mergedInto="other").merged_away
    assert conversation(relationships={"mergedTo": {"data": {"id": "other"}}}).merged_away
    assert not conversation(relationships={"mergedTo": {"data": None}}).merged_away


def test_only_machine_users_are_not_people():
    for kind, person in {"user": True, "limited": True, "hourly": True, None: True, "machine": False}.items():
        assert User.model_validate({"id": "u", "attributes": {"userType": kind}}).is_person is person
