from include.interactions.records import Conversation, Malformed, User, read_conversation


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


def test_a_closing_time_without_an_offset_is_no_time(conversation):
    assert conversation(last_done={"createdAt": "2026-01-05T10:15:00"}).closed_at is None


def test_the_survivor_of_a_merge_is_not_merged_away(conversation):
    assert not conversation(mergedTarget=True).merged_away


def test_a_merged_conversation_is_recognised_by_attribute_or_relationship(conversation):
    assert conversation(mergedInto="other").merged_away
    assert conversation(relationships={"mergedTo": {"data": {"id": "other"}}}).merged_away
    assert not conversation(relationships={"mergedTo": {"data": None}}).merged_away


def test_only_machine_users_are_not_people():
    for kind, person in {"user": True, "limited": True, "hourly": True, None: True, "machine": False}.items():
        assert User.model_validate({"id": "u", "attributes": {"userType": kind}}).is_person is person
